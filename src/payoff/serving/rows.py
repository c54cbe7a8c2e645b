"""The rows of a request, held against what is promised of their columns.

All checks of a column are calls of Python's own that go over the whole column in C; only where one finds something are rows looked at one by one.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from payoff.serving.faults import Fault, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from payoff.records.serving.served import InputColumn, Served

Values = list[Any]
_NONE = type(None)
_SHOWN = 8  # values of an enumeration that an answer lists
_EXACT = 2**53  # beyond it a double is not every whole number


class Rows(NamedTuple):
    """`columns` in the order in which they were asked for; `gaps` are the names of those with a missing value: batches keep such rows apart, since one missing
    value changes the type of a whole column in pandas.
    """

    number: int
    columns: tuple[Values, ...]
    ids: Values | None
    gaps: frozenset[str]


class Rule(NamedTuple):
    """`breaks` says of a value that is not missing whether it breaks the rule `says`; `keeps` says of a whole column of such values whether all keep it."""

    says: str
    keeps: Callable[[Values], bool]
    breaks: Callable[[Any], bool]


class Checked:
    """One column's promise, ready to be held against values."""

    def __init__(self, column: InputColumn, kind: pa.DataType) -> None:
        self.name = column.name
        self.required = column.promise.required
        self.kind = kind
        self.types, self.says, self._convert = _accepted(kind)
        self.rules = [*_type_rules(kind), *_rules(column)]

    def check(self, values: Values) -> tuple[Values, list[Fault], bool]:
        """The values as Arrow takes them, what is wrong with them, and whether one is missing."""
        types = set(map(type, values))
        missing = _NONE in types
        faults: list[Fault] = []
        if missing and self.required:
            faults += [Fault(row, self.name, "is required") for row, each in enumerate(values) if each is None]
        if not types <= self.types:
            if types == {float} and self._convert is _whole and all(map(float.is_integer, values)):
                values = list(map(int, values))  # as they come in a tensor of doubles
            else:
                values, wrong = self._converted(values)
                faults += wrong
        if float in types and pa.types.is_floating(self.kind) and any(map(_absent, values)):
            if self.required:
                faults += [Fault(row, self.name, "is required") for row, each in enumerate(values) if _absent(each)]
            values, missing = [None if _absent(each) else each for each in values], True
        if int in types and pa.types.is_floating(self.kind) and any(map(_inexact, values)):
            values = [float(each) if _inexact(each) and _all_finite([each]) else each for each in values]
        there = [each for each in values if each is not None] if missing or faults else values
        for rule in self.rules if there else ():
            if not rule.keeps(there):
                faults += [
                    Fault(row, self.name, rule.says)
                    for row, each in enumerate(values)
                    if each is not None and rule.breaks(each)
                ]
        return values, faults, missing

    def _converted(self, values: Values) -> tuple[Values, list[Fault]]:
        """Values of other types as the column's where they mean the same; those that do not are left out and told."""
        made: Values = []
        faults = []
        for row, each in enumerate(values):
            if each is None or type(each) in self.types:
                made.append(each)
                continue
            found = self._convert(each)
            made.append(found)
            if found is None:
                faults.append(Fault(row, self.name, f"is {self.says}"))
        return made, faults


class Checker:
    """All columns of a request."""

    def __init__(self, served: Served, schema: pa.Schema) -> None:
        self.schema, self._types = schema, schema.types
        self.features = tuple(each.name for each in served.features)
        self.names = tuple(each.name for each in served.columns)
        self._columns = [Checked(each, schema.field(each.name).type) for each in served.columns]
        self._id = served.id.name if served.id is not None else None

    def rows(self, given: Mapping[str, Values], number: int, *, decides: bool) -> Rows:
        """The rows in order, every value as promised; `Wrong` tells each that is not. Columns that nobody asked for are left out.

        Without a decision only the model's own columns are needed.
        """
        made, faults = self.held(given, number, decides=decides)
        if faults:
            raise broken(faults)
        return made

    def held(self, given: Mapping[str, Values], number: int, *, decides: bool) -> tuple[Rows, list[Fault]]:
        """The same, with all that is wrong with values beside it: rows with a fault are of no use. `Wrong` only where there are no rows, or no such column."""
        if number < 1:
            raise Wrong("there are no rows", code="PO-J021", remedy="send at least one row")
        needed = self.names if decides else self.features
        absent = [name for name in needed if name not in given]
        if absent:
            raise Wrong(
                f"the column {absent[0]!r} is missing" + (f", and {len(absent) - 1} more" if absent[1:] else ""),
                code="PO-J022",
                remedy=f"send the columns {', '.join(needed)}",
                faults=[Fault(0, name, "is missing from the request") for name in absent],
            )
        columns: list[Values] = []
        faults: list[Fault] = []
        gaps: list[str] = []
        for place, each in enumerate(self._columns):
            if place >= len(needed):
                columns.append([None] * number)
                gaps.append(each.name)
                continue
            values, wrong, missing = each.check(given[each.name])
            columns.append(values)
            faults += wrong
            if missing:
                gaps.append(each.name)
        return Rows(number, tuple(columns), given.get(self._id) if self._id else None, frozenset(gaps)), faults

    def table(self, columns: Sequence[Values]) -> pa.RecordBatch:
        """Checked values, one list per column, as Arrow has them."""
        arrays = [pa.array(values, kind) for values, kind in zip(columns, self._types, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def refuse_unfit(self, rows: Rows) -> None:
        """Say of values that are of the promised kind and still do not fit into their column's type which they are."""
        if faults := self.unfit(rows):
            raise broken(faults)

    def unfit(self, rows: Rows) -> list[Fault]:
        """Values that are of the promised kind and still do not fit into their column's type."""
        faults = []
        for values, field in zip(rows.columns, self.schema, strict=True):
            for row, each in enumerate(values):
                try:
                    pa.array([each], field.type)
                except (pa.ArrowException, OverflowError, ValueError, TypeError):
                    faults.append(Fault(row, field.name, f"fits into {field.type}"))
        return faults


def broken(faults: list[Fault]) -> Wrong:
    """The refusal of a request with such faults, told in the order of its rows."""
    faults.sort(key=lambda each: each.row)
    return Wrong(
        f"{len(faults):,} values break what is promised of them",
        code="PO-J023",
        remedy="correct the rows that are named; the contract says what each column promises",
        faults=faults,
    )


def _accepted(kind: pa.DataType) -> tuple[set[type], str, Callable[[Any], Any]]:
    """The types that values of a column may have as they are, what is said of others, and how others are converted (None: they mean nothing)."""
    if pa.types.is_boolean(kind):
        return {bool, _NONE}, "true or false", lambda _: None
    if pa.types.is_integer(kind):
        return {int, _NONE}, "a whole number", _whole
    if pa.types.is_floating(kind):
        return {int, float, _NONE}, "a number", lambda _: None
    if pa.types.is_decimal(kind):
        return {Decimal, _NONE}, "a decimal number", _decimal
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return {str, _NONE}, "text", lambda _: None
    if pa.types.is_timestamp(kind):
        return {dt.datetime, _NONE}, "a time in ISO 8601", lambda each: _moment(each, aware=kind.tz is not None)
    if pa.types.is_date(kind):
        return {dt.date, _NONE}, "a date in ISO 8601", _date
    return {_NONE}, f"a value of the type {kind}", lambda each: each


def _whole(value: Any) -> int | None:
    return int(value) if type(value) is float and value.is_integer() else None


def _absent(value: Any) -> bool:
    """Whether a number is none: that is how a missing value comes in an array of floating-point numbers."""
    return type(value) is float and math.isnan(value)


def _inexact(value: Any) -> bool:
    """Whether a whole number is larger than those that a double has exactly: JSON writes it as it writes others, Arrow does not take it as one."""
    return type(value) is int and abs(value) > _EXACT


def _decimal(value: Any) -> Decimal | None:
    if type(value) not in {int, float, str}:
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _moment(value: Any, *, aware: bool) -> dt.datetime | None:
    """A time; where the column has a zone, one that names none is in UTC."""
    if type(value) is not str:
        return None
    try:
        found = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    if aware:
        return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
    return found.astimezone(dt.UTC).replace(tzinfo=None) if found.tzinfo is not None else found


def _date(value: Any) -> dt.date | None:
    if type(value) is not str:
        return None
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        return None


def _type_rules(kind: pa.DataType) -> list[Rule]:
    """What a column's type says of values of the right kind."""
    if pa.types.is_integer(kind):
        signed = pa.types.is_signed_integer(kind)
        low = -(2 ** (kind.bit_width - 1)) if signed else 0
        high = 2 ** (kind.bit_width - signed) - 1
        return [_between(low, high, f"is between {low} and {high}")]
    if pa.types.is_floating(kind):
        return [Rule("is a finite number", _all_finite, lambda each: not _all_finite([each]))]
    return []


def _all_finite(values: Values) -> bool:
    try:
        return all(map(math.isfinite, values))
    except OverflowError:  # a whole number beyond what a double can be
        return False


def _between(low: Any, high: Any, says: str) -> Rule:
    return Rule(says, lambda values: min(values) >= low and max(values) <= high, lambda each: not low <= each <= high)


def _rules(column: InputColumn) -> list[Rule]:
    promise, found = column.promise, []
    if promise.enum is not None:
        allowed = frozenset(promise.enum)
        listed = ", ".join(str(each) for each in promise.enum[:_SHOWN]) + (
            ", ..." if len(promise.enum) > _SHOWN else ""
        )
        found.append(Rule(f"is one of {listed}", lambda values: set(values) <= allowed, lambda v: v not in allowed))
    low, high = _limit(promise.minimum, column.type), _limit(promise.maximum, column.type)
    if low is not None:
        found.append(Rule(f"is at least {promise.minimum}", lambda values: min(values) >= low, lambda v: v < low))
    if high is not None:
        found.append(Rule(f"is at most {promise.maximum}", lambda values: max(values) <= high, lambda v: v > high))
    if promise.pattern is not None:
        whole = re.compile(promise.pattern).fullmatch
        found.append(
            Rule("has the pattern", lambda values: all(map(whole, set(map(str, values)))), lambda v: not whole(str(v)))
        )
    least, most = promise.min_length, promise.max_length
    if least is not None:
        found.append(
            Rule(
                f"is at least {least} long",
                lambda vs: min(len(str(v)) for v in vs) >= least,
                lambda v: len(str(v)) < least,
            )
        )
    if most is not None:
        found.append(
            Rule(
                f"is at most {most} long", lambda vs: max(len(str(v)) for v in vs) <= most, lambda v: len(str(v)) > most
            )
        )
    return found


def _limit(value: Any, kind: str) -> Any:
    """A limit as values of the column are compared with it; times are written as text."""
    if value is None or not isinstance(value, str):
        return value
    if kind.startswith("timestamp"):
        return _moment(value, aware="tz=" in kind)
    if kind.startswith("date"):
        return _date(value)
    return value if kind.startswith(("string", "large_string")) else None
