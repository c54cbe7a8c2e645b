"""`payoff init DIR`: a new project."""

from __future__ import annotations

import sys

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Make a git repository whose first `payoff run` succeeds."""
    parser = Parser("init", VERBS["init"])
    parser.add_argument("directory", metavar="DIR", help="the folder to make (empty or not there yet)")
    parser.add_argument("--template", metavar="NAME", default="starter", help="what to start from (default: starter)")
    options = parser.read(argv)

    from payoff.cli.render import document, findings
    from payoff.cli.render.progress import watching
    from payoff.flows.init import init
    from payoff.records.request import InitRequest

    with watching(sys.stderr) as observer:
        answer = init(
            InitRequest(directory=options.directory, template=options.template),
            lambda line: observer("init", name=options.directory, state="progress", line=line),
        )
    if options.json:
        screen.document(document.init(answer))
    else:
        screen.result(findings.init(answer))
    return 0
