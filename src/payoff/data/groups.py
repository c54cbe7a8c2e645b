"""The groups of rows that money is looked at by: the values of columns with few of them, quarters of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.base.errors import UserError, Where
from payoff.base.text import did_you_mean
from payoff.data.names import column, value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from payoff.records.artifact import Artifact
    from payoff.records.charter import Charter
    from payoff.records.contract import Contract

FEWEST, _MANY = 20, 30
MOST, COLUMNS = 12, 12  # values of a column, columns
_NUMBERS = ("int", "uint", "float", "double", "halffloat")
_WORDS = ("string", "large_string", "bool", "dictionary")


def labels(
    charter: Charter, contracts: Sequence[Contract], rows: Artifact, query: Callable[[str], pa.Table]
) -> dict[str, Any]:
    """Per column the group of each row (n,) as text, of a table `holdout`.

    Left out: the id, the outcome, what the rows are split on, columns labelled personal or known only after the decision, and
    words with too many values; numbers with many are cut at their quartiles. Missing values are a group of their own.
    """
    personal = {each.name for contract in contracts for each in contract.columns if each.personal}
    after = {each.name for contract in contracts for each in contract.known_after}
    decision = charter.decision
    away = {decision.id, decision.outcome.column, charter.split.on, *personal, *after}
    words = [each.name for each in rows.fields if each.name not in away and each.type.startswith(_WORDS)]
    numbers = [each.name for each in rows.fields if each.name not in away and each.type.startswith(_NUMBERS)]
    if not words and not numbers:
        return {}
    asked = [f"count(distinct {column(name)})" for name in (*words, *numbers)]
    asked += [f"quantile_disc({column(name)}, [0.25, 0.5, 0.75])" for name in numbers]
    listed = ", ".join(f"{sql} as c{number}" for number, sql in enumerate(asked))
    seen = [each[0].as_py() for each in query(f"select {listed} from holdout").columns]
    sizes = dict(zip((*words, *numbers), seen, strict=False))
    quarters = dict(zip(numbers, seen[len(sizes) :], strict=True))
    parts = {name: _value(name) for name, size in sizes.items() if 2 <= size <= MOST}
    parts |= {name: _quarter(name, sorted(set(quarters[name] or ()))) for name in numbers if sizes[name] > MOST}
    kept = dict(list(parts.items())[:COLUMNS])
    if not kept:
        return {}
    answer = query("select " + ", ".join(f"{sql} as {column(name)}" for name, sql in kept.items()) + " from holdout")
    return {name: answer[name].to_numpy().astype(str) for name in kept}


def named(charter: Charter, rows: Artifact, query: Callable[[str], pa.Table]) -> dict[str, Any]:
    """Per column of the charter's segments the group of each row (n,) as text, of a table `holdout`.

    Words with many values keep the most frequent; groups of fewer than 20 rows are put together as `other`: they say nothing, and could
    point to a person. Raises `UserError` for a column that is not there.
    """
    if not charter.segments:
        return {}
    kinds = {field.name: field.type for field in rows.fields}
    parts = {}
    for each in charter.segments:
        if each.column not in kinds:
            raise UserError(
                f"{charter.decision.examples} has no column {each.column!r}, which the charter names under [segments]",
                code="PO-D022",
                expected=did_you_mean(each.column, list(kinds)),
                remedy=f"correct the name in {charter.file}, or make {charter.decision.examples} deliver {each.column}",
                where=Where(charter.file),
            )
        bounds: list[Any] = list(each.cut)
        if kinds[each.column].startswith(_NUMBERS) and not bounds:
            asked = f"select quantile_disc({column(each.column)}, [0.25, 0.5, 0.75]) as q from holdout"
            bounds = sorted(set(query(asked)["q"][0].as_py() or ()))
        group = _quarter(each.column, bounds) if bounds else _value(each.column)
        kept = f"select {group} from holdout group by 1 having count(*) >= {FEWEST} order by count(*) desc, 1 limit {_MANY}"
        parts[each.column] = f"case when {group} in ({kept}) then {group} else 'other' end"
    listed = ", ".join(f"{sql} as {column(name)}" for name, sql in parts.items())
    numbered = "(select *, row_number() over () as payoff_place from holdout)"
    answer = query(f"select {listed} from {numbered} order by payoff_place")
    return {name: answer[name].to_numpy().astype(str) for name in parts}


def _value(name: str) -> str:
    return f"coalesce(cast({column(name)} as varchar), 'missing')"


def _quarter(name: str, bounds: list[Any]) -> str:
    """`up to 30`, `30 to 45`, `above 45`: at the quartiles."""
    quoted = column(name)
    parts = [f"when {quoted} is null then 'missing'"]
    for number, bound in enumerate(bounds):
        said = f"up to {bound:,g}" if number == 0 else f"{bounds[number - 1]:,g} to {bound:,g}"
        parts.append(f"when {quoted} <= {bound!r} then {value(said)}")
    return f"case {' '.join(parts)} else {value(f'above {bounds[-1]:,g}') if bounds else value('all')} end"
