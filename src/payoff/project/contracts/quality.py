"""Quality rules of an ODCS contract, as promises that one scan of the table can check."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from payoff.base import text
from payoff.project.pipeline import sql
from payoff.records.contract import TableCheck

OPERATORS = (
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
)
_UNUSED = ("schedule", "scheduler", "method")
_ARGUMENTS = {
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": ("properties",),
    "rowCount": (),
}


class Problem(msgspec.Struct, frozen=True):
    """Something in a contract that is wrong or not implemented; `key` is the part of it that is meant."""

    code: str
    severity: Literal["error", "warning", "note"]
    what: str
    expected: str
    key: str = ""


class Promise(msgspec.Struct, kw_only=True):
    """What a rule comes to: changes to its column's promise, checks of the table, and problems."""

    column: dict[str, Any] = {}
    checks: list[TableCheck] = []
    problems: list[Problem] = []


def not_checked(what: str, key: str = "") -> Problem:
    """A warning that a part of a contract is not checked."""
    return Problem(
        "PO-P074", "warning", f"{what}: it is not checked", "a rule that Payoff checks (docs/errors/project.md)", key
    )


def _unused(key: str) -> Problem:
    return Problem(
        "PO-P074", "warning", f"the rule's {key} is not used", "rules are checked by each run that reads the table", key
    )


def promise(rule: dict[str, Any], table: str, column: str, line: int) -> Promise:
    """What one quality rule comes to. `column` is empty for a rule of the whole table."""
    made = Promise()
    kind = rule.get("type", "library" if "metric" in rule else "text")
    made.problems += [_unused(key) for key in _UNUSED if key in rule]
    if kind == "text":
        what = "a rule in words cannot be checked"
        made.problems.append(Problem("PO-P074", "note", what, "a library or sql rule, when it should be checked"))
    elif kind == "custom":
        made.problems.append(not_checked(f"a rule for {rule.get('engine')}", "engine"))
    else:
        limits = _Limits(rule, whole=kind == "library" and rule.get("unit") != "percent")
        if limits.problem:
            made.problems.append(limits.problem)
        elif kind == "sql":
            _sql(made, rule, limits, (table, column, line))
        else:
            _library(made, rule, limits, (table, column, line))
    return made


class _Limits:
    """A rule's comparison, as inclusive bounds; `outside` when the value must lie outside of them."""

    def __init__(self, rule: dict[str, Any], *, whole: bool) -> None:
        self.minimum: float | None = None
        self.maximum: float | None = None
        self.outside = False
        self.problem: Problem | None = None
        name = next((name for name in OPERATORS if name in rule), "")
        value: Any = rule.get(name)
        values: list[Any] = value if isinstance(value, list) else [value]
        if not name or not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values):
            expected = f"a comparison with a number: {', '.join(OPERATORS)}"
            self.problem = Problem(
                "PO-P075", "error", "the rule compares with nothing that is a number", expected, name
            )
            return
        self.outside = name in ("mustNotBe", "mustNotBeBetween")
        low, high = values[0], values[-1]
        if name == "mustBeGreaterThan":
            self.minimum = math.floor(low) + 1 if whole else math.nextafter(low, math.inf)
        elif name == "mustBeLessThan":
            self.maximum = math.ceil(high) - 1 if whole else math.nextafter(high, -math.inf)
        else:
            self.minimum = None if name == "mustBeLessOrEqualTo" else low
            self.maximum = None if name == "mustBeGreaterOrEqualTo" else high

    @property
    def nothing(self) -> bool:
        """True when the count must be 0."""
        return self.maximum == 0 and not self.outside and self.minimum in (None, 0)


def _severity(rule: dict[str, Any]) -> Literal["error", "warning"]:
    return "warning" if str(rule.get("severity", "error")).lower() in ("info", "warning", "low") else "error"


def _sql(made: Promise, rule: dict[str, Any], limits: _Limits, at: tuple[str, str, int]) -> None:
    table, column, line = at
    query, wrong = sql.promise(str(rule["query"]), table, column)
    if wrong:
        expected = "one query over ${table} that gives one number"
        made.problems.append(
            Problem("PO-P080", "error", f"the rule's query cannot be used: {wrong}", expected, "query")
        )
        return
    name = rule.get("name") or rule.get("description") or f"query at line {line}"
    made.checks.append(_check(rule, limits, query, name, (column, line)))


def _check(rule: dict[str, Any], limits: _Limits, query: str, name: str, at: tuple[str, int]) -> TableCheck:
    minimum, maximum = limits.minimum, limits.maximum
    if limits.outside:
        inside = f"({query}) between {minimum} and {maximum}"
        query, minimum, maximum = f"select case when {inside} then 1 else 0 end", 0, 0
    return TableCheck(
        kind="sql",
        name=str(name),
        column=at[0] or None,
        sql=query,
        minimum=minimum,
        maximum=maximum,
        severity=_severity(rule),
        line=at[1],
    )


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A value as SQL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _library(made: Promise, rule: dict[str, Any], limits: _Limits, at: tuple[str, str, int]) -> None:
    _, column, line = at
    metric = str(rule["metric"])
    arguments = rule.get("arguments") or {}
    for name in arguments:
        if name not in _ARGUMENTS[metric]:
            made.problems.append(
                not_checked(
                    f"{metric} has no argument {name!r} ({text.did_you_mean(name, _ARGUMENTS[metric])})", "arguments"
                )
            )
    if metric == "rowCount":
        _row_count(made, rule, limits, line)
        return
    keys = [str(key) for key in arguments.get("properties") or ([column] if column else [])]
    if metric == "duplicateValues" and keys:
        _duplicates(made, rule, limits, keys, at)
        return
    if not column:
        expected = "the rule below a property"
        made.problems.append(Problem("PO-P075", "error", f"{metric} is a rule for a column", expected, "metric"))
        return
    simple = _as_column(metric, arguments) if limits.nothing and _severity(rule) == "error" else {}
    if simple:
        made.column |= simple
        return
    condition = _condition(metric, arguments, quoted(column))
    if not condition:
        needs = " or ".join(_ARGUMENTS[metric])
        made.problems.append(Problem("PO-P075", "error", f"{metric} needs arguments", f"arguments: {needs}", "metric"))
        return
    made.checks.append(_counted(rule, limits, f"count(*) filter (where {condition})", (metric, column, line)))


def _counted(rule: dict[str, Any], limits: _Limits, count: str, at: tuple[str, str, int]) -> TableCheck:
    metric, column, line = at
    if rule.get("unit") == "percent":
        count = f"coalesce(100.0 * {count} / nullif(count(*), 0), 0)"
    name = rule.get("name") or " of ".join(part for part in (metric, column) if part)
    return _check(rule, limits, f"select {count} from {{table}}", name, (column, line))


def _row_count(made: Promise, rule: dict[str, Any], limits: _Limits, line: int) -> None:
    if limits.outside:
        made.checks.append(_counted(rule, limits, "count(*)", ("rowCount", "", line)))
        return
    made.checks.append(
        TableCheck(
            kind="row-count",
            name=str(rule.get("name") or "rowCount"),
            minimum=limits.minimum,
            maximum=limits.maximum,
            severity=_severity(rule),
            line=line,
        )
    )


def _duplicates(
    made: Promise, rule: dict[str, Any], limits: _Limits, keys: list[str], at: tuple[str, str, int]
) -> None:
    _, column, line = at
    if not limits.nothing:
        listed = ", ".join(quoted(key) for key in keys)
        value = listed if len(keys) == 1 else f"({listed})"
        known = " and ".join(f"{quoted(key)} is not null" for key in keys)
        count = f"(count(*) filter (where {known}) - count(distinct {value}) filter (where {known}))"
        made.checks.append(_counted(rule, limits, count, ("duplicateValues", column, line)))
    elif len(keys) == 1 and keys[0] == column and _severity(rule) == "error":
        made.column["unique"] = True
    else:
        name = str(rule.get("name") or f"unique {', '.join(keys)}")
        made.checks.append(
            TableCheck(kind="unique", name=name, columns=tuple(keys), severity=_severity(rule), line=line)
        )


def _as_column(metric: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The promise of a column that says the same as `metric` must be 0; nothing when there is none."""
    values, pattern = arguments.get("validValues"), arguments.get("pattern")
    if metric == "nullValues":
        return {"required": True}
    if metric == "invalidValues" and values is not None and pattern is None:
        return {"enum": tuple(value for value in values if value is not None)}
    if metric == "invalidValues" and pattern is not None and values is None:
        return {"pattern": str(pattern)}
    return {}


def _condition(metric: str, arguments: dict[str, Any], column: str) -> str:
    """The SQL condition of a row that counts; empty when an argument is missing."""
    if metric == "nullValues":
        return f"{column} is null"
    if metric == "missingValues":
        values = arguments.get("missingValues") or [None]
        parts = [f"{column} is null"] if None in values else []
        if listed := ", ".join(literal(value) for value in values if value is not None):
            parts.append(f"cast({column} as varchar) in ({listed})")
        return " or ".join(parts)
    parts = []
    if values := [value for value in arguments.get("validValues") or () if value is not None]:
        parts.append(f"{column} not in ({', '.join(literal(value) for value in values)})")
    if pattern := arguments.get("pattern"):
        parts.append(f"not regexp_full_match(cast({column} as varchar), {literal(pattern)})")
    return f"{column} is not null and ({' or '.join(parts)})" if parts else ""
