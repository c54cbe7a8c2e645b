"""`payoff check`: all findings at once."""

from __future__ import annotations

from payoff.base.errors import UserError
from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Print what is wrong; 2 when something must be mended before a run."""
    parser = Parser("check", VERBS["check"])
    parser.add_argument(
        "--against", metavar="REV", help="also name breaking changes of contracts since a commit, as origin/main"
    )
    options = parser.read(argv)

    from payoff.cli.render import document
    from payoff.cli.render import findings as words
    from payoff.flows.check import check, in_plain_words
    from payoff.records.finding import from_error

    try:
        findings = check(options.project, options.against)
    except UserError as error:
        findings, plain = from_error(error), ""
    else:
        plain = in_plain_words(options.project)
    if options.json:
        screen.document(document.check(findings, plain))
    else:
        screen.result(words.check(findings, plain))
    return 2 if any(finding.severity == "error" for finding in findings) else 0
