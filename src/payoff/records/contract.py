"""What a table promises, read from `contracts/*.yaml` (Open Data Contract Standard v3)."""

from __future__ import annotations

from typing import Literal

import msgspec

from payoff.records.label import Classification, LabelSpec, Lowering

Severity = Literal["error", "warning"]


PRIVATE = frozenset({"personal", "secret", "confidential"})


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """The promise about one column.

    `type` is ODCS's logicalType. `known` is `before` when the value is known at decision time and `after` when it is known
    only later; `why` says why. `currency` is set for amounts of money.
    `references` is (table, column) of a foreign key. `residency`, `purposes`, `retention` (days) are None where the contract says nothing.
    `lowering` is how the column's label is lowered; `depends` are the (table, column) that a function makes it of (None: all that it takes).
    """

    name: str
    type: Literal["string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"] | None = (
        None
    )
    physical_type: str | None = None
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    enum: tuple[str | int | float | bool, ...] | None = None
    minimum: float | int | str | None = None
    maximum: float | int | str | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    references: tuple[str, str] | None = None
    classification: Classification | None = None
    residency: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    retention: int | None = None
    lowering: Lowering | None = None
    depends: tuple[tuple[str, str], ...] | None = None
    currency: str | None = None
    known: Literal["before", "after"] = "before"
    why: str = ""
    description: str = ""
    line: int = 0

    @property
    def personal(self) -> bool:
        """True when its values are shown to nobody."""
        return self.classification in PRIVATE

    @property
    def dropped(self) -> bool:
        """True when the product leaves it out of the table."""
        return self.lowering is not None and self.lowering.operator == "drop"

    @property
    def restricted(self) -> bool:
        """True when its label could forbid something by itself, or promises to lower what it inherits."""
        limits = (self.residency, self.purposes, self.lowering)
        return self.classification == "secret" or any(each is not None for each in limits)

    @property
    def label(self) -> LabelSpec:
        """What the contract says of it, as a label."""
        return LabelSpec(
            classification=self.classification,
            residency=self.residency,
            purposes=self.purposes,
            retention=self.retention,
        )


class TableCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A promise about the whole table.

    `row-count`: number of rows between `minimum` and `maximum`. `freshness`: the newest value of `column` is at most `maximum`
    seconds old. `unique`: the `columns` together are unique. `sql`: `sql` gives one number between `minimum` and `maximum`
    (`{table}` stands for the table).
    """

    kind: Literal["row-count", "freshness", "unique", "sql"]
    name: str
    column: str | None = None
    columns: tuple[str, ...] = ()
    sql: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    severity: Severity = "error"
    line: int = 0


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a table promises: its columns, and checks over the whole of it. From an ODCS v3 file.

    `epsilon`: the most that all versions of the table may tell about a row through noise; None where it is not said.
    """

    table: str
    file: str
    version: str
    columns: tuple[Column, ...]
    checks: tuple[TableCheck, ...] = ()
    description: str = ""
    digest: str = ""
    epsilon: float | None = None

    def column(self, name: str) -> Column | None:
        """The promise about a column, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def applied(self) -> dict[str, Lowering]:
        """Per column the reviewed operator that the product applies to what the table's query answers."""
        return {
            each.name: each.lowering
            for each in self.columns
            if each.lowering is not None and each.lowering.operator != "aggregate"
        }

    @property
    def known_after(self) -> tuple[Column, ...]:
        """The columns whose values are known only after the decision."""
        return tuple(column for column in self.columns if column.known == "after")
