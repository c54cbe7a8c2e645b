"""A finding of `payoff check`: the record form of an error."""

from __future__ import annotations

from typing import Literal

import msgspec

from payoff.base.errors import PayoffError, UserError, Where


class Place(msgspec.Struct, frozen=True):
    """A file and a line (0 when only the file is known)."""

    file: str
    line: int = 0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found: stable code, what, where, what was expected, and what to type."""

    code: str
    severity: Literal["error", "warning", "note"] = "error"
    what: str
    where: Place | None = None
    expected: str = ""
    try_: str = msgspec.field(name="try", default="")

    def as_error(self) -> UserError:
        """The same thing as an exception to raise."""
        where = Where(self.where.file, self.where.line) if self.where else None
        return UserError(self.what, code=self.code, expected=self.expected, remedy=self.try_, where=where)


def from_error(error: PayoffError) -> list[Finding]:
    """The findings an error stands for (several for an `InvalidInput`)."""
    return [
        Finding(
            code=part.code,
            what=part.what,
            where=Place(part.where.file, part.where.line) if part.where else None,
            expected=part.expected,
            try_=part.remedy,
        )
        for part in getattr(error, "parts", (error,))
    ]
