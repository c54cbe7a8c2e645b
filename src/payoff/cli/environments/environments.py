"""`payoff environments`: the locked environments of a project, made real, checked, and removed."""

from __future__ import annotations

import argparse
import re
from decimal import Decimal
from typing import Any

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean
from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen

QUESTIONS = {
    "list": "what is installed, how large, when it was used, and what has its lock (the default)",
    "lock": "make the locks say what pyproject.toml asks for ([NAME]: of one environment)",
    "check": "locks held against pyproject.toml, what is installed against locks ([NAME])",
    "collect": "remove what nobody needs",
}
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


def main(argv: list[str]) -> int:
    """Answer one question; 2 where `check` finds something to mend."""
    options = _read(argv)

    from payoff.cli.render import document
    from payoff.cli.render.environments import environments as words
    from payoff.records.answers.environments import EnvironmentsAnswer

    answer = _answer(options)
    if options.json:
        screen.document(document.encode(EnvironmentsAnswer(**{options.question: answer})))
    else:
        screen.result(words.text(options.question, answer))
    wrong = options.question == "check" and any(each.severity == "error" for each in answer.findings)
    return 2 if wrong else 0


def _read(argv: list[str]) -> argparse.Namespace:
    parser = Parser("environments", VERBS["environments"])
    parser.add_argument(
        "question", metavar="QUESTION", nargs="?", default="list",
        help="; ".join(f"{name}: {says}" for name, says in QUESTIONS.items()),
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", nargs="?", help="an environment of the project")
    parser.add_argument("--upgrade", action="store_true", help="lock: every package in its newest version that fits")
    parser.add_argument(
        "--package", metavar="NAME", action="append", default=[], help="lock: this package in its newest version"
    )
    parser.add_argument(
        "--unused-for", metavar="DAYS", type=_days, help="collect: not used for so many days (default: 30)"
    )
    parser.add_argument(
        "--keep-bytes", metavar="SIZE", type=_size, help='collect: the longest unused, until the rest fits in "20GB"'
    )
    parser.add_argument("--dry-run", action="store_true", help="collect: say what would go, and remove nothing")
    options = parser.read(argv)
    if options.question not in QUESTIONS:
        raise UserError(
            f"payoff environments has no question {options.question!r}",
            code="PO-U003",
            expected=did_you_mean(options.question, QUESTIONS),
            remedy="payoff environments --help",
        )
    return options


def _answer(options: argparse.Namespace) -> Any:
    match options.question:
        case "list":
            from payoff.flows.environments.ls import ls

            return ls(options.project)
        case "lock":
            from payoff.flows.environments.lock import lock

            return lock(options.project, options.name, upgrade=options.upgrade, packages=options.package)
        case "check":
            from payoff.flows.environments.check import check

            return check(options.project, options.name)
        case _:
            from payoff.flows.environments.collect import collect

            return collect(
                options.project,
                keep_bytes=options.keep_bytes,
                unused_for=options.unused_for,
                dry_run=options.dry_run,
            )


def _days(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return int(text)


def _size(text: str) -> int:
    """The bytes in `20GB`."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([A-Za-z]*)", text)
    if found is None or found[2].upper() not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size, as 20GB or 500MiB")
    return int(Decimal(found[1]) * UNITS[found[2].upper()])
