"""`payoff why A B`: which of all that differs between two runs made the difference."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen
from payoff.cli.run import stop
from payoff.cli.runs import positive

if TYPE_CHECKING:
    from payoff.records.answers.why import Expected, Why


def main(argv: list[str]) -> int:
    """0 when the difference is explained or there is none, 1 when it is not (or only partly)."""
    parser = Parser("why", VERBS["why"])
    parser.add_argument(
        "a", metavar="A", help="a run's id, its beginning, `latest` or `latest~1`: where the waterfall begins"
    )
    parser.add_argument("b", metavar="B", help="the run that it ends at")
    parser.add_argument(
        "--metric", metavar="NAME", help="a metric that both runs have (default: the model's gain a year)"
    )
    parser.add_argument("--max-runs", metavar="N", type=positive, help="stop after so many executions")
    parser.add_argument(
        "--plan", action="store_true", help="say what differs and what the search would cost; execute nothing"
    )
    options = parser.read(argv)

    from payoff.cli.render import document, progress
    from payoff.cli.render.comparing import why as words
    from payoff.flows.comparing import why as flow
    from payoff.flows.opening import root_of
    from payoff.records.answers.why import WhyRequest

    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, stop)
    request = WhyRequest(
        project=str(root_of(options.project)),
        a=options.a,
        b=options.b,
        metric=options.metric,
        max_runs=options.max_runs,
        plan=options.plan,
        command=("payoff", "why", *argv),
    )

    def announce(expected: Expected) -> None:
        if not options.json and not options.plan:
            screen.err(words.announcement(expected))

    with progress.watching(sys.stderr) as observer:
        answer: Why = flow.why(request, observer, announce)
    if options.json:
        screen.document(document.why(answer))
    else:
        screen.result(words.text(answer))
    return words.exit_code(answer)
