"""`payoff data`: the project's tables, their labels, where they come from, who read them."""

from __future__ import annotations

import argparse
from typing import Any

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean
from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen

QUESTIONS = {
    "ls": "all tables",
    "show": "a table's columns: types, labels, promises, and a picture of the values",
    "history": "a table's versions",
    "lineage": "what TABLE.COLUMN is made of, and what depends on it",
    "audit": "who read which columns, when and what for ([TABLE[.COLUMN]])",
    "expire": "what is kept for longer than labels permit; with --yes it is erased",
    "sample": "a few rows of a table, masked where its labels ask for it",
}


def main(argv: list[str]) -> int:
    """Answer one question about the tables."""
    parser = Parser("data", VERBS["data"])
    parser.add_argument(
        "question", metavar="QUESTION", help="; ".join(f"{name}: {says}" for name, says in QUESTIONS.items())
    )
    parser.add_argument("name", metavar="TABLE", nargs="?", help="a table, or TABLE.COLUMN")
    parser.add_argument(
        "--rows", metavar="N", type=_rows, default=10, help="rows of a sample (default: 10, at most 1000)"
    )
    parser.add_argument("--yes", action="store_true", help="expire: erase it, for good")
    parser.add_argument("--models", action="store_true", help="expire: models that were trained on it, too")
    options = parser.read(argv)
    _check(options)

    from payoff.cli.render import data as words
    from payoff.cli.render import document

    answer = _answer(options)
    if options.json:
        screen.document(document.encode({options.question: answer}))
    else:
        screen.result(words.text(options.question, answer))
    return 0


def _answer(options: argparse.Namespace) -> Any:
    match options.question:
        case "ls":
            from payoff.flows.data.ls import ls

            return ls(options.project)
        case "show":
            from payoff.flows.data.show import show

            return show(options.project, options.name)
        case "history":
            from payoff.flows.data.history import history

            return history(options.project, options.name)
        case "lineage":
            from payoff.flows.data.lineage import lineage

            return lineage(options.project, options.name)
        case "audit":
            from payoff.flows.data.audit import audit

            return audit(options.project, options.name)
        case "expire":
            from payoff.flows.data.expire import expire

            return expire(options.project, erase=options.yes, models=options.models)
        case _:
            from payoff.flows.data.sample import sample

            return sample(options.project, options.name, options.rows)


def _check(options: argparse.Namespace) -> None:
    if options.question not in QUESTIONS:
        raise UserError(
            f"payoff data has no question {options.question!r}",
            code="PO-U003",
            expected=did_you_mean(options.question, QUESTIONS),
            remedy="payoff data --help",
        )
    if options.name is None and options.question not in ("ls", "audit", "expire"):
        raise UserError(
            f"payoff data {options.question} needs a table",
            code="PO-U003",
            expected="TABLE.COLUMN" if options.question == "lineage" else "the name of a table",
            remedy="payoff data ls lists them",
        )


def _rows(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows from 1 to 1000")
    return int(text)
