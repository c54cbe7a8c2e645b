"""What a client did wrong or has to wait for, in the words of every protocol: a status, a code, rows and rules; never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 100  # faults that an answer tells; the others are counted


class Fault(msgspec.Struct, frozen=True):
    """A value that breaks a rule: the row's place in the request (from 0), the column, the rule in words."""

    row: int
    column: str
    rule: str


class Wrong(Exception):
    """A request that is not answered. `status` is HTTP's; `retry` is how many seconds to wait before asking again."""

    def __init__(
        self,
        what: str,
        *,
        code: str,
        remedy: str,
        status: int = 400,
        faults: Sequence[Fault] = (),
        count: int = 0,
        retry: float | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.code = code
        self.remedy = remedy
        self.status = status
        self.faults = tuple(faults[:MOST])
        self.count = count or len(faults)
        self.retry = retry

    def said(self) -> str:
        """One line for protocols that have no more room: the first fault, and how many there are."""
        if not self.faults:
            return f"{self.code}: {self.what}. {self.remedy}"
        first = self.faults[0]
        more = f" (and {self.count - 1:,} more)" if self.count > 1 else ""
        return f"{self.code}: row {first.row}, column {first.column}: {first.rule}{more}"

    def document(self) -> dict[str, Any]:
        """All of it."""
        told: dict[str, Any] = {"error": self.said(), "code": self.code, "try": self.remedy}
        if self.faults:
            told |= {"faults": [msgspec.to_builtins(each) for each in self.faults], "count": self.count}
        return told


def unreadable(what: str) -> Wrong:
    """A body that is not what its protocol says."""
    return Wrong(what, code="PO-J020", remedy="see docs/serving.md for what a request looks like")
