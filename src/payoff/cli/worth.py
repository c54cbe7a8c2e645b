"""`payoff worth [RUN]`: is it worth it?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen

if TYPE_CHECKING:
    from payoff.records.answers.worth import Worth


def main(argv: list[str]) -> int:
    """0 when a model can pay (of a run: does pay), 1 when it cannot."""
    parser = Parser("worth", VERBS["worth"])
    parser.add_argument(
        "run", metavar="RUN", nargs="?", help="a run's id, its beginning or `latest`: what its model's worth hangs on"
    )
    parser.add_argument("--history", action="store_true", help="what was promised and what was found, run after run")
    parser.add_argument("--html", metavar="FILE", help="where to write the page (default: .payoff/reports/worth*.html)")
    options = parser.read(argv)

    from payoff.cli.render import document, progress, worth_page
    from payoff.cli.render import worth as words
    from payoff.flows import worth as flow
    from payoff.flows.opening import root_of
    from payoff.records.answers.request import WorthRequest

    request = WorthRequest(
        project=str(root_of(options.project)),
        run=options.run,
        history=options.history,
        page=options.html or "",
        command=("payoff", "worth", *argv),
    )
    with progress.watching(sys.stderr) as observer:
        answer: Worth = flow.worth(request, observer, worth_page.text)
    if options.json:
        screen.document(document.worth(answer))
    else:
        screen.result(words.text(answer))
    return answer.exit_code
