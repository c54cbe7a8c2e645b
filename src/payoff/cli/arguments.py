"""Options of the verbs: argparse whose complaints are errors like all others."""

from __future__ import annotations

import argparse
from typing import NoReturn

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean, nearest


class Parser(argparse.ArgumentParser):
    """The options of one verb; `--json` and `--project` are there already."""

    def __init__(self, verb: str, says: str) -> None:
        super().__init__(prog=f"payoff {verb}", description=f"{says[:1].upper()}{says[1:]}.", allow_abbrev=False)
        self.verb = verb
        self.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else")
        self.add_argument(
            "--project", metavar="DIR", help="the project's folder (default: the nearest payoff.toml upward of here)"
        )

    def read(self, argv: list[str]) -> argparse.Namespace:
        """The options given; `UserError` names the nearest option for one that does not exist."""
        options, unknown = self.parse_known_args(argv)
        if unknown:
            self._unknown(unknown[0])
        return options

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, as an error with the next command to type."""
        raise UserError(
            message,
            code="PO-U003",
            expected=self._usage(),
            remedy=f"payoff {self.verb} --help",
        )

    def _usage(self) -> str:
        return " ".join(self.format_usage().split()[1:])

    def _unknown(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            raise UserError(
                f"payoff {self.verb} was given {word!r}, which it does not take",
                code="PO-U003",
                expected=self._usage(),
                remedy=f"payoff {self.verb} --help",
            )
        name = word.partition("=")[0]
        known = [option for option in self._option_string_actions if option.startswith("--")]
        near = nearest(name, known)
        raise UserError(
            f"payoff {self.verb} has no option {name}",
            code="PO-U002",
            expected=did_you_mean(name, known),
            remedy=f"payoff {self.verb} {near or '--help'}",
        )
