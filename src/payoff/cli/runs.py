"""`payoff runs`: the project's runs."""

from __future__ import annotations

import argparse

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """List runs, newest first."""
    parser = Parser("runs", VERBS["runs"])
    parser.add_argument("--limit", metavar="N", type=positive, default=20, help="at most so many (default: 20)")
    options = parser.read(argv)

    from payoff.cli.render import document, findings
    from payoff.flows.runs import runs

    summaries = runs(options.project, options.limit)
    if options.json:
        screen.document(document.runs(summaries))
    else:
        screen.result(findings.runs(summaries))
    return 0


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)
