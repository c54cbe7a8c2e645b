"""`payoff reproduce RUN`: does the same come out again?"""

from __future__ import annotations

import signal
import sys

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen
from payoff.cli.runs import positive


def main(argv: list[str]) -> int:
    """Execute a run again; 0 when the same comes out (to the last bit, or within noise), 1 when not."""
    parser = Parser("reproduce", VERBS["reproduce"])
    parser.add_argument(
        "run", metavar="RUN", nargs="?", default="latest", help="a run's id or its beginning (default: the latest run)"
    )
    parser.add_argument(
        "--replicates", metavar="N", type=positive, default=5,
        help="execute it at most so many times, where the first does not give the same, to see whether it varies (default: 5)",
    )  # fmt: skip
    options = parser.read(argv)

    from payoff.cli.render import document
    from payoff.cli.render.comparing import reproduce as words
    from payoff.cli.render.progress import watching
    from payoff.cli.run import stop
    from payoff.flows.comparing.reproduce import reproduce
    from payoff.records.answers.reproduce import ReproduceRequest

    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, stop)
    request = ReproduceRequest(
        project=options.project,
        run=options.run,
        replicates=options.replicates,
        command=("payoff", "reproduce", *argv),
    )
    with watching(sys.stderr) as observer:
        answer = reproduce(request, observer)
    if options.json:
        screen.document(document.reproduce(answer))
    else:
        screen.result(words.text(answer))
    return words.exit_code(answer)
