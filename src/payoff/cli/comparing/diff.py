"""`payoff diff A B`: what differs between two runs, and nothing else."""

from __future__ import annotations

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """0 whether or not something differs; `--json` has it all."""
    parser = Parser("diff", VERBS["diff"])
    parser.add_argument("a", metavar="A", help="a run's id, its beginning, `latest` or `latest~1`")
    parser.add_argument("b", metavar="B", nargs="?", default="latest", help="the other run (default: the latest)")
    options = parser.read(argv)

    from payoff.cli.render import document
    from payoff.cli.render.comparing import diff as words
    from payoff.flows.comparing.diff import diff

    answer = diff(options.project, options.a, options.b)
    if options.json:
        screen.document(document.encode(answer))
    else:
        screen.result(words.text(answer))
    return 0
