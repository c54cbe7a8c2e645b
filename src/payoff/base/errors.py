"""The family of errors.

PayoffError            anything the user is told: code, what, where, expected, remedy
├── Refused            exit 1: a gate or a rule said no
├── UserError          exit 2: the user's input is wrong
│   └── InvalidInput   exit 2: several findings at once
├── Bug                exit 3: our fault
└── OutsideError       exit 4: the world outside failed (`retryable` says whether trying again may help)

A message never holds a data value or a secret: say the column, the row ids and the counts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Where:
    """A place in a file: `file:line`; the line is 0 when only the file is known."""

    __slots__ = ("file", "line")

    def __init__(self, file: str | os.PathLike[str], line: int = 0) -> None:
        self.file = os.fspath(file)
        self.line = line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def __repr__(self) -> str:
        return f"Where({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Where) and (self.file, self.line) == (other.file, other.line)

    def __hash__(self) -> int:
        return hash((self.file, self.line))


class PayoffError(Exception):
    """What was found, what was expected, and the next command to type.

    `code` is stable (`PO-C012`): a letter for the area and three digits; `docs/errors/` explains every one.
    """

    exit_code: ClassVar[int] = 3
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        what: str,
        *,
        code: str,
        remedy: str,
        expected: str = "",
        where: Where | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.code = code
        self.remedy = remedy
        self.expected = expected
        self.where = where

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        lines.append(f"  Try: {self.remedy}")
        return "\n".join(lines)


class Refused(PayoffError):
    """A gate or a rule of the project said no."""

    exit_code = 1


class UserError(PayoffError):
    """The user's input is wrong."""

    exit_code = 2


class InvalidInput(UserError):
    """Several things are wrong at once; each part is a whole error."""

    def __init__(self, parts: Sequence[PayoffError]) -> None:
        first = parts[0]
        super().__init__(first.what, code=first.code, remedy=first.remedy, expected=first.expected, where=first.where)
        self.parts = tuple(parts)

    def __str__(self) -> str:
        return "\n".join(str(part) for part in self.parts)


class Bug(PayoffError):
    """Something that should be impossible happened in Payoff itself."""

    exit_code = 3


class OutsideError(PayoffError):
    """The world outside failed: a server, a disk, a network, a step that was killed."""

    exit_code = 4

    def __init__(
        self,
        what: str,
        *,
        code: str,
        remedy: str,
        expected: str = "",
        where: Where | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(what, code=code, remedy=remedy, expected=expected, where=where)
        self.may_retry = retryable
