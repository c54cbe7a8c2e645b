"""Start, announce, and stop without cutting what is on its way."""

from __future__ import annotations

import ipaddress
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import UserError, Where
from payoff.base.files import secret
from payoff.flows.gateway import Offers
from payoff.gateway.server import listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.records.project import GatewaySpec

GRACE = 10.0  # seconds that streams have to end


def serve(project: str | None, host: str, port: int, ready: Callable[[str, GatewaySpec], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the address once readers may come."""
    offers = Offers(project)
    spec = offers.spec
    tls = _tls(spec, offers.root)
    if not tls and not spec.insecure and not _is_loopback(host):
        raise UserError(
            f"the gateway would listen at {host} without TLS: tokens and tables could be read on the way",
            code="PO-H003",
            expected="certificate and key in [gateway] of payoff.toml, or an address of this machine alone",
            remedy="name them there (docs/gateway.md), or leave --host out",
            where=Where("payoff.toml"),
        )
    scheme = "grpc+tls" if tls else "grpc"
    shown = f"[{host}]" if ":" in host else host
    server = listen(offers, f"{scheme}://{shown}:{port}", tls, secret(offers.root / ".payoff" / "gateway.key"))
    stop = threading.Event()

    def ask(_number: int, _frame: Any) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ready(f"{scheme}://{shown}:{server.port}", spec)
        stop.wait()
        server.stop_by(GRACE)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        server.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(spec: GatewaySpec, root: Path) -> list[tuple[bytes, bytes]] | None:
    if not spec.certificate and not spec.key:
        return None
    try:
        # One without the other is the folder itself, which cannot be read.
        return [((root / spec.certificate).read_bytes(), (root / spec.key).read_bytes())]
    except OSError:
        raise UserError(
            "the gateway's certificate and its key cannot be read",
            code="PO-H004",
            expected="certificate and key: two files in PEM that this user may read",
            remedy="correct [gateway] in payoff.toml, then: payoff gateway",
            where=Where("payoff.toml"),
        ) from None
