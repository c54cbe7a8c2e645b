"""Start, announce, and stop without cutting what is under way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import uvicorn

from payoff.base.errors import OutsideError, UserError, Where
from payoff.serving.app import App
from payoff.serving.service import Limits, Service
from payoff.serving.wire.certificates import Certificate
from payoff.serving.wire.connection import Wire
from payoff.serving.wire.server import LOOP, Server, most_connections
from payoff.wiring import options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from payoff.flows.serve.offered import Offer
    from payoff.records.project import ServingSpec
    from payoff.records.serving.served import Served
    from payoff.serving.launching import Started

GRACE = 30.0  # seconds that what is under way has when we are told to stop
LEAST = 16  # characters of a token
LOOPBACK = "127.0.0.1"
_BACKLOG = 2048
_PLAIN, _SECURE = "http:", "https:"


@dataclasses.dataclass(frozen=True)
class _Token:
    token: str


class Addresses(NamedTuple):
    """Where questions are answered."""

    web: str
    grpc: str = ""


class Request(NamedTuple):
    """What `payoff serve` is asked for: `run` names one, or is the number of a release; `grpc` is the port of gRPC, where that is wanted. `released` is the folder of a released model, which is served
    in place of a run's: there the container's own variables say whether everybody may ask; `early` is its model's process, already on its way. `onnx`: the run's model is served
    converted.
    """

    run: str
    project: str | None = None
    host: str = LOOPBACK
    port: int = 8080
    limits: Limits = Limits()
    grpc: int | None = None
    log: bool = True
    anyway: bool = False
    released: str = ""
    onnx: bool = False
    early: Started | None = None


def serve(request: Request, ready: Callable[[Addresses, Served], None], tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the address once questions are answered, `tell` what happens."""
    with _offer(request, tell) as offer:
        token = _token(offer.settings)
        tls = _tls(offer.settings, offer.home)
        if not _is_loopback(request.host) and not request.released:
            _refuse_open(offer.settings, request.host, token=bool(token), tls=tls is not None)
        service = Service(offer, request.limits, tell, log=request.log, early=request.early)
        with asyncio.Runner(loop_factory=LOOP) as runner:
            runner.run(_serve(request, service, token, tls, ready, tell))


def _offer(request: Request, tell: Callable[[str], None]) -> contextlib.AbstractContextManager[Offer]:
    if request.released:
        from payoff.flows.serve.released import opened

        return contextlib.nullcontext(opened(request.released, os.environ))
    from payoff.flows.serve.named import named  # brings all that reads projects, which a container has no time for

    return named(request.project, request.run, tell, anyway=request.anyway, onnx=request.onnx)


async def _serve(
    request: Request,
    service: Service,
    token: str,
    tls: Certificate | None,
    ready: Callable[[Addresses, Served], None],
    tell: Callable[[str], None],
) -> None:
    answer = partial(Wire, most=most_connections(), answered=service.metrics.answered)
    server = Server(_config(App(service, token), answer, request, tls))
    remote: Any = None
    await service.start()
    watching = asyncio.create_task(tls.watch(tell)) if tls else None
    try:
        bound = _bind(request)
        shown = f"[{request.host}]" if ":" in request.host else request.host
        grpc_address = ""
        if request.grpc is not None:
            remote, port = await _remote(service, token, f"{shown}:{request.grpc}", tls)
            grpc_address = f"{shown}:{port}"

        def stop() -> None:
            service.draining = True
            server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        web = f"{_SECURE if tls else _PLAIN}//{shown}:{bound.getsockname()[1]}"
        ready(Addresses(web, grpc_address), service.served)
        await server.serve([bound])
    finally:
        if watching is not None:
            watching.cancel()
        if remote is not None:
            await remote.stop(GRACE)
        await service.stop()


def _config(app: App, answer: Any, request: Request, tls: Certificate | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=request.host,
        port=request.port,
        http=answer,
        loop="none",
        lifespan="off",
        ws="none",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # nobody is told another client or scheme by a header
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(GRACE),
        backlog=_BACKLOG,
        ssl_context_factory=(lambda *_: tls.context()) if tls else None,
    )


async def _remote(service: Service, token: str, address: str, tls: Certificate | None) -> tuple[Any, int]:
    """The server for gRPC."""
    try:
        from payoff.serving import rpc  # its library is an extra
    except ImportError as error:
        raise UserError(
            f"gRPC needs the package {(error.name or 'grpc').partition('.')[0]}, which is not installed",
            code="PO-J016",
            expected="the extra serve",
            remedy="uv pip install 'payoff[serve]', or leave --grpc-port out",
        ) from None
    return await rpc.listen(service, token, address, tls)


def _bind(request: Request) -> socket.socket:
    family = socket.AF_INET6 if ":" in request.host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((request.host, request.port))
        bound.listen(_BACKLOG)  # who is told the address may come at once
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise OutsideError(
            f"the server cannot listen at {request.host}:{request.port} ({error.strerror})",
            code="PO-J014",
            expected="a free port of an address of this machine",
            remedy="choose another with --port, or see what has it: ss -ltnp",
        ) from None
    return bound


def _token(spec: ServingSpec) -> str:
    if not spec.token:
        return ""
    made: _Token = options.build(_Token, {"token": spec.token}, title="[serving]", where=Where("payoff.toml"))
    found = made.token
    if len(found) < LEAST:
        raise UserError(
            f"the token is shorter than {LEAST} characters",
            code="PO-J012",
            expected="a long random text",
            remedy=f"set {spec.token[2:-1]} to the output of: openssl rand -hex 32",
            where=Where("payoff.toml"),
        )
    return found


def _refuse_open(spec: ServingSpec, host: str, *, token: bool, tls: bool) -> None:
    if token and (tls or spec.insecure):
        return
    missing = "a token" if not token else "TLS"
    raise UserError(
        f"the server would listen at {host} without {missing}",
        code="PO-J013",
        expected="token, certificate and key in [serving] of payoff.toml, or an address of this machine alone",
        remedy="name them there (docs/serving.md; insecure = true where something before it speaks TLS), or leave --host out",
        where=Where("payoff.toml"),
    )


def _tls(spec: ServingSpec, root: Path) -> Certificate | None:
    return Certificate(root / spec.certificate, root / spec.key) if spec.certificate or spec.key else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
