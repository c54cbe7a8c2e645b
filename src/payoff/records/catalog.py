"""What `payoff data` answers: the tables of a project, their columns and labels, where they come from, who read them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from payoff.records.label import Label


class TableLine(msgspec.Struct, frozen=True, kw_only=True):
    """One table of `payoff data ls`; `version`, `rows` and `run` are those of the newest run that had it."""

    table: str
    kind: str
    classification: str
    zone: str
    columns: int | None = None
    rows: int | None = None
    version: str | None = None
    run: str | None = None
    made: str | None = None
    contract: str | None = None


class ColumnLine(msgspec.Struct, frozen=True, kw_only=True):
    """One column of `payoff data show`. `bars` are the shares (0 to 1) of rows in equal parts of the range between `low` and `high`, or of the most
    frequent values; none where the column may not be shown.
    """

    column: str
    type: str
    label: Label
    known: str = "before"
    description: str = ""
    missing: float | None = None
    distinct: int | None = None
    low: str | None = None
    high: str | None = None
    bars: tuple[float, ...] = ()
    promises: int = 0
    broken: int = 0


class TableShown(msgspec.Struct, frozen=True, kw_only=True):
    """A table with its columns: `payoff data show TABLE`."""

    table: TableLine
    columns: tuple[ColumnLine, ...]
    noise: Budget | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a table: the first and the last run that had it, its rows, and how many more than the version before."""

    version: str
    rows: int
    bytes: int
    first: str
    last: str
    since: str
    added: int | None = None
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    kept: bool = True
    expired: str = ""


class Expiry(msgspec.Struct, frozen=True, kw_only=True):
    """Something kept for longer than a label permits. `what`: a table's version, predictions, a model, rows that a stream has landed (each as old as its
    message, the oldest from `since`), or a file of the log of predictions of the run `last`, from its first row. `last`: the newest run that had it, which finished `since`; `days`: the most that `column` (of `table`) permits; `age`: whole days since. `erased`: it is gone now.
    """

    what: Literal["table", "predictions", "model", "landed", "log"]
    table: str
    version: str
    rows: int | None
    bytes: int
    last: str
    since: str
    days: int
    age: int
    column: str
    erased: bool = False


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A column that another is made of (`up`) or goes into (`down`), `distance` steps away. `implicit`: only a condition, a key or an order depends on it."""

    direction: Literal["up", "down"]
    table: str
    column: str
    distance: int
    implicit: bool
    label: Label
    through: str = ""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a column comes from, and what depends on it, to the models and the zones where they are served."""

    table: str
    column: str
    label: Label
    links: tuple[Link, ...]
    models: tuple[str, ...] = ()
    served: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody or something read columns of a table. `run` is empty where it was no run; `how`: run, sample, gateway, ...; `refused` says why nothing was given."""

    at: str
    who: str
    table: str
    columns: tuple[str, ...]
    how: str
    run: str = ""
    purpose: str = ""
    zone: str = ""
    rows: int | None = None
    commit: str | None = None
    refused: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a table that was made with noise in some columns. `epsilon`: of those columns together; `budget`: of all versions of the table, as its contract
    said then (None: it said nothing).
    """

    at: str
    run: str
    table: str
    version: str
    columns: tuple[str, ...]
    epsilon: float
    budget: float | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How much noise has told of a table: `versions` cost `spent` of `epsilon` (None: no budget); the next one will cost `each`."""

    epsilon: float | None
    spent: float
    versions: int
    each: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a table as JSON has them; the `masked` columns show nothing but whether there is a value."""

    table: str
    version: str
    columns: tuple[str, ...]
    masked: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document of `payoff data QUESTION --json`: the one field that was asked for."""

    ls: tuple[TableLine, ...] | None = None
    show: TableShown | None = None
    history: tuple[Version, ...] | None = None
    lineage: Lineage | None = None
    audit: tuple[Access, ...] | None = None
    sample: Sample | None = None
