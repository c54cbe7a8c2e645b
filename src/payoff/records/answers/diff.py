"""What `payoff diff` answers: only what differs between two runs."""

from __future__ import annotations

import msgspec

from payoff.records.evidence import Gain, Verdict
from payoff.records.hybrids.attribution import Factor


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A number that is not the same; null where a run does not have it. `unit`: its currency where it is money."""

    name: str
    a: float | None = None
    b: float | None = None
    unit: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Money a year that B's decisions bring over A's, by B's charter, on the `decisions` that both made; `differ` of them brought another amount.

    `low` and `high` bound it at `confidence` (paired bootstrap). Costs of building and running are left out.
    """

    mean: float
    low: float
    high: float
    currency: str
    confidence: float
    decisions: int
    differ: int


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A function, class, constant or query: `diff` is a unified diff of its text."""

    name: str
    state: str
    diff: str = ""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """How a table of a source differs: rows by their `key` (without one: as wholes, so that a changed row counts as removed and added).

    `columns`: of rows that are in both, in how many each column has another value. `schema`: columns that only one has, or have another type.
    `note`: why rows could not be compared.
    """

    table: str
    a_rows: int | None = None
    b_rows: int | None = None
    added: int | None = None
    removed: int | None = None
    changed: int | None = None
    key: tuple[str, ...] = ()
    columns: dict[str, int] = {}
    schema: tuple[str, ...] = ()
    note: str = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the machine, the interpreter or the libraries that were loaded: `where` is the step (or steps) that it was seen in."""

    name: str
    a: str
    b: str
    where: str = ""


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """`results`: money first. `outcome`: how the two ended, and gates that decided otherwise. `factors`: packages, parameters, settings, charter keys:
    whatever `payoff why` would take for one thing, code and data left out, which have their own lists. `change` is what the difference in decisions
    brings; where that cannot be said, `apart` says why. `gain_before` and `gain_after` are the two runs' own, `refused` what refuses B.
    """

    a: str
    b: str
    outcome: tuple[Fact, ...] = ()
    results: tuple[Number, ...] = ()
    code: tuple[Code, ...] = ()
    data: tuple[Rows, ...] = ()
    factors: tuple[Factor, ...] = ()
    machine: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    change: Change | None = None
    apart: str = ""
    gain_before: Gain | None = None
    gain_after: Gain | None = None
    refused: tuple[Verdict, ...] = ()

    @property
    def loses(self) -> bool:
        """Whether B brings less beyond doubt: the whole interval of the change is below zero; without one, B's own interval lies below A's."""
        if self.change is not None:
            return self.change.high < 0
        before, after = self.gain_before, self.gain_after
        return before is not None and after is not None and after.high < before.low
