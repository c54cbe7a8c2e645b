"""`payoff data show TABLE`: its columns with labels, promises, and a small picture of their values where they may be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.data.labels import epsilon
from payoff.data.names import column as quoted
from payoff.flows.data.ls import line
from payoff.flows.data.opened import Catalog
from payoff.records.catalog import Budget, ColumnLine, TableShown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from payoff.records.artifact import Artifact, Field
    from payoff.records.run import RunRecord

BARS = 12
EXACT = 2_000_000  # rows
_NUMBERS = ("int", "uint", "double", "float", "decimal", "halffloat")
_TIMES = ("date", "timestamp")


def show(project: str | None, table: str) -> TableShown:
    """The newest version's columns; what the project's runs never had is described by its contract alone."""
    catalog = Catalog(project)
    catalog.known(table)
    newest = catalog.newest(table)
    if newest is None or not catalog.opened.kit.store.has(newest[1]):
        names = [name for name in catalog.labelled.columns.get(table, ()) if name != "*"]
        columns = [_column(catalog, table, name, "", None) for name in names]
    else:
        columns = _profiled(catalog, table, *newest)
    return TableShown(table=line(catalog, table), columns=tuple(columns), noise=_noise(catalog, table))


def _noise(catalog: Catalog, table: str) -> Budget | None:
    """How much of the table's budget of epsilon is spent."""
    contract = catalog.project.contract(table)
    events = catalog.told(table)
    if contract is None or not (events or epsilon.cost(contract)):
        return None
    spent = [each for each in epsilon.spent(events) if each.let]
    return Budget(
        epsilon=contract.epsilon,
        spent=spent[-1].total if spent else 0.0,
        versions=sum(each.epsilon > 0 for each in spent),
        each=epsilon.cost(contract),
    )


def _profiled(catalog: Catalog, table: str, record: RunRecord, artifact: Artifact) -> list[ColumnLine]:
    kit = catalog.opened.kit
    files = {"t": kit.store.path(artifact)}
    columns = []
    for field in artifact.fields:
        shown = catalog.shows(catalog.labelled.label(table, field.name))
        columns.append(
            _column(
                catalog,
                table,
                field.name,
                field.type,
                _profile(catalog, files, field, shown=shown, rows=artifact.rows),
                record,
            )
        )
    return columns


def _column(
    catalog: Catalog,
    table: str,
    name: str,
    kind: str,
    profile: Mapping[str, Any] | None,
    record: RunRecord | None = None,
) -> ColumnLine:
    contract = catalog.project.contract(table)
    said = contract.column(name) if contract is not None else None
    checks = (
        [each for each in record.checks if each.table == table and each.column == name] if record is not None else []
    )
    return ColumnLine(
        column=name,
        type=kind or (said.type or "" if said is not None else ""),
        label=catalog.labelled.label(table, name),
        known=said.known if said is not None else "before",
        description=said.description if said is not None else "",
        promises=len(checks),
        broken=sum(not each.passed for each in checks),
        **(profile or {}),
    )


def _profile(
    catalog: Catalog, files: Mapping[str, Path], field: Field, *, shown: bool, rows: int | None
) -> dict[str, Any]:
    """How many values are missing and how many differ; of a column that may be shown its range and a picture, too."""
    name = quoted(field.name)
    ask = catalog.opened.kit.engine.query
    ranged = shown and field.type.startswith((*_NUMBERS, *_TIMES))
    # Counted exactly where that costs little memory.
    differ = f"count(distinct {name})" if (rows or 0) <= EXACT else f"approx_count_distinct({name})"
    ends = (
        f"cast(min({name}) as varchar) as low, cast(max({name}) as varchar) as high"
        if ranged
        else "null as low, null as high"
    )
    answer = ask(f"select count(*) as n, count({name}) as there, {differ} as differ, {ends} from t", files).to_pylist()[
        0
    ]
    n = answer["n"]
    found = {
        "missing": 1 - answer["there"] / n if n else 0.0,
        "distinct": answer["differ"],
        "low": answer["low"],
        "high": answer["high"],
    }
    if shown and n:
        number = f"epoch(cast({name} as timestamp))" if field.type.startswith(_TIMES) else f"cast({name} as double)"
        found["bars"] = _spread(ask, files, number, n) if ranged else _frequent(ask, files, name, n)
    return found


def _frequent(ask: Any, files: Mapping[str, Path], name: str, rows: int) -> tuple[float, ...]:
    """The shares of the most frequent values."""
    sql = f"select count(*) as n from t where {name} is not null group by {name} order by n desc limit {BARS}"
    return tuple(row["n"] / rows for row in ask(sql, files).to_pylist())


def _spread(ask: Any, files: Mapping[str, Path], number: str, rows: int) -> tuple[float, ...]:
    """The shares of rows in equal parts of the range."""
    part = f"least({BARS - 1}, cast(floor({BARS} * (v - low) / nullif(high - low, 0)) as integer))"
    sql = (
        f"with v as (select {number} as v from t where isfinite({number})), ends as (select min(v) as low, max(v) as high from v) "
        f"select coalesce({part}, 0) as part, count(*) as n from v, ends group by 1"
    )
    counts = {row["part"]: row["n"] for row in ask(sql, files).to_pylist()}
    return tuple(counts.get(number, 0) / rows for number in range(BARS))
