"""`payoff diff A B`: what differs between two runs, and nothing else."""

from __future__ import annotations

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """0 whether or not something differs; with `--refuse-loss` 1 when B loses money beyond doubt; `--json` has it all."""
    parser = Parser("diff", VERBS["diff"])
    parser.add_argument("a", metavar="A", help="a run's id, its beginning, `latest` or `latest~1`")
    parser.add_argument("b", metavar="B", nargs="?", default="latest", help="the other run (default: the latest)")
    parser.add_argument("--markdown", action="store_true", help="as a comment for a pull request")
    parser.add_argument(
        "--refuse-loss",
        action="store_true",
        help="exit code 1 when B's decisions lose money against A's and chance is no excuse",
    )
    options = parser.read(argv)

    from payoff.cli.render import document
    from payoff.cli.render.comparing import comment
    from payoff.cli.render.comparing import diff as words
    from payoff.flows.comparing.diff import diff

    answer = diff(options.project, options.a, options.b)
    if options.json:
        screen.document(document.encode(answer))
    else:
        screen.result(comment.comment(answer) if options.markdown else words.text(answer))
    return 1 if options.refuse_loss and answer.loses else 0
