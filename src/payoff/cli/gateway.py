"""`payoff gateway`: serve tables to readers in other zones."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen

if TYPE_CHECKING:
    from payoff.records.project import GatewaySpec


def main(argv: list[str]) -> int:
    """Serve until it is told to stop."""
    parser = Parser("gateway", VERBS["gateway"])
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=_port, default=8815, help="the port (default: 8815; 0: any)")
    options = parser.read(argv)

    from payoff.gateway.serve import serve

    def ready(address: str, spec: GatewaySpec) -> None:
        if options.json:
            screen.document(f'{{"address": "{address}"}}')
        else:
            readers = ", ".join(reader.name for reader in spec.readers)
            screen.out(f"serving {', '.join(spec.tables)} at {address} to {readers}; Ctrl-C stops it")

    serve(options.project, options.host, options.port, ready)
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)
