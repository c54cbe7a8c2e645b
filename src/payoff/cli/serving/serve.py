"""`payoff serve RUN`: answer questions about rows with a run's model."""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen
from payoff.serving import launching

if TYPE_CHECKING:
    from payoff.records.serving.served import Served
    from payoff.serving.serve import Addresses

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def main(argv: list[str]) -> int:
    """Serve until it is told to stop."""
    parser = Parser("serve", VERBS["serve"])
    environ = os.environ if any(each.startswith("--released") for each in argv) else {}  # a container's say where
    parser.add_argument(
        "run",
        metavar="RUN|RELEASE",
        nargs="?",
        default="latest",
        help="a release's number; or a run's id or its beginning (default: the latest run)",
    )
    parser.add_argument(
        "--host", default=environ.get("PAYOFF_HOST", "127.0.0.1"), help="the address to listen at (default: 127.0.0.1)"
    )
    port, remote = environ.get("PAYOFF_PORT", "8080"), environ.get("PAYOFF_GRPC_PORT")
    parser.add_argument("--port", metavar="N", type=_port, default=port, help="the port (default: 8080; 0: any)")
    parser.add_argument(
        "--grpc-port", metavar="N", type=_port, default=remote, help="answer by gRPC as well, at this port (0: any)"
    )
    parser.add_argument("--workers", metavar="N", type=_count, default=1, help="processes of the model (default: 1)")
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, default=10.0, help="seconds that an answer may take (default: 10)"
    )
    parser.add_argument(
        "--max-body", metavar="SIZE", type=_size, default=16 << 20, help="the largest body, as 500KB (default: 16MiB)"
    )
    parser.add_argument(
        "--queue", metavar="N", type=_count, default=256, help="requests that may wait for the model (default: 256)"
    )
    parser.add_argument("--no-log", action="store_true", help="write no log of predictions")
    parser.add_argument("--anyway", action="store_true", help="serve a run that its gates refused")
    parser.add_argument("--onnx", action="store_true", help="serve the model converted to ONNX, where it says the same")
    parser.add_argument("--released", metavar="FOLDER", help="serve a released model: what an image starts")
    options = parser.read(argv)

    # Before all that a server imports: the model's libraries take longer still.
    early = launching.early(options.released, os.environ) if options.released else None
    from payoff.serving.serve import Request, serve
    from payoff.serving.service import Limits

    limits = Limits(
        seconds=options.timeout,
        body=options.max_body,
        waiting=options.queue,
        requests=2 * options.queue,
        workers=options.workers,
    )

    request = Request(
        run=options.run,
        project=options.project,
        host=options.host,
        port=options.port,
        grpc=options.grpc_port,
        limits=limits,
        log=not options.no_log,
        anyway=options.anyway,
        released=options.released or "",
        early=early,
        onnx=options.onnx,
    )
    serve(request, functools.partial(_ready, options.json), screen.err)
    return 0


def _ready(document: bool, at: Addresses, served: Served) -> None:
    if document:
        told = {"address": at.web, "model": served.name, "version": served.version}
        screen.document(json.dumps({**told, **({"grpc": at.grpc} if at.grpc else {})}, ensure_ascii=False))
        return
    screen.out(f"serving {served.name}, run {served.run}; Ctrl-C stops it")
    screen.out(f"  {at.web}/v2/models/{quote(served.name)}/infer   predictions (Open Inference Protocol)")
    if at.grpc:
        screen.out(f"  {at.grpc}   the same by gRPC")
    screen.out(f"  {at.web}/invocations   predictions (as MLflow's servers)")
    if not served.silent:
        screen.out(f"  {at.web}/decide   actions with what they should bring, in {served.charter.currency}")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return found


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+) ?(\w*)", text)
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size, as 500KB or 16MiB")
    return int(match[1]) * _UNITS[match[2]]
