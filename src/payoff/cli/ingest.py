"""`payoff ingest`: streams land in the project's tables."""

from __future__ import annotations

import functools
import signal
import sys
import threading

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Land what streams have; with `--follow` until ctrl-C or a signal, which end it after the transaction under way."""
    parser = Parser("ingest", VERBS["ingest"])
    parser.add_argument("tables", metavar="TABLE", nargs="*", help="the streams to land (default: all of the project)")
    parser.add_argument("--follow", action="store_true", help="go on landing what comes, until it is stopped")
    parser.add_argument(
        "--accept-loss",
        action="store_true",
        help="where the broker no longer has messages that did not land, go on after them and write the loss down",
    )
    options = parser.read(argv)

    from payoff.cli.render import document, findings
    from payoff.cli.render.progress import watching
    from payoff.flows.ingest import ingest
    from payoff.flows.opening import root_of
    from payoff.records.answers.request import IngestRequest

    request = IngestRequest(
        project=str(root_of(options.project)),
        tables=tuple(options.tables),
        follow=options.follow,
        accept_loss=options.accept_loss,
    )
    stop = threading.Event()
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ending, functools.partial(_stop, stop))
    with watching(sys.stderr) as observer:
        answer = ingest(request, stop, observer)
    if options.json:
        screen.document(document.ingest(answer))
    else:
        screen.result(findings.ingest(answer))
    return 0


def _stop(stop: threading.Event, number: int, frame: object) -> None:
    """Once: end after what is under way. A second signal does what it does to any program; a transaction is whole or was not."""
    stop.set()
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
