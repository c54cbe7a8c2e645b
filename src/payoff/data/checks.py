"""A contract as SQL: all checks of a table in one scan, a sample of row ids only where something failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.text import count, did_you_mean
from payoff.data.names import column, value
from payoff.records.evidence import CheckResult

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import pyarrow as pa

    from payoff.records.artifact import Field
    from payoff.records.contract import Column, Contract, TableCheck

    Query = Callable[[str], pa.Table]

SAMPLE = 5


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One promise as SQL. `failing` is a condition per row, counted in the scan; `measure` an aggregate or a query that gives a number
    which must lie between `minimum` and `maximum`; `settled` is a result that needs no look at the rows.
    """

    name: str
    column: str | None = None
    says: str = ""
    failing: str = ""
    measure: str = ""
    alone: bool = False
    minimum: float | None = None
    maximum: float | None = None
    severity: str = "error"
    line: int = 0
    settled: str = ""


class CheckPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All probes of a table. `key` is the column (or expression) by which failing rows are named."""

    table: str
    file: str
    probes: tuple[Probe, ...]
    key: str


def needed_columns(contract: Contract, schema: pa.Schema) -> list[str]:
    """The columns that must be read for the contract's checks even if no step uses them: keys, and what table-wide checks are about."""
    needed = {c.name for c in contract.columns if c.primary_key}
    for check in contract.checks:
        needed |= {check.column} if check.column else set()
        needed |= set(check.columns)
        if check.sql:
            needed |= {name for name in schema.names if name.lower() in check.sql.lower()}
    return [name for name in schema.names if name in needed]


def compile_contract(
    contract: Contract,
    fields: Sequence[Field],
    *,
    promised_from: Sequence[str],
    foreign: Mapping[str, Sequence[Field]],
    now: str,
) -> CheckPlan:
    """The probes for a table whose read columns are `fields`; `promised_from` are all columns that its source has.

    Values are checked in the columns that were read; that each promised column exists is checked for all of them.
    """
    types = {field.name: field.type for field in fields}
    wrong = {each.name for each in contract.columns if each.name in types and _type_probe(each, types[each.name])}
    probes: list[Probe] = []
    for each in contract.columns:
        if each.name not in promised_from and each.dropped:
            continue
        if each.name not in promised_from:
            said = f"the table has no column {each.name} (it has {did_you_mean(each.name, promised_from)})"
            probes.append(Probe(name=f"{each.name} exists", column=each.name, settled=said, line=each.line))
        elif each.name in types:
            probes += _column_probes(contract, each, types[each.name], foreign)
    probes += [_table_probe(contract, check, now) for check in contract.checks if _can(check, types, wrong)]
    return CheckPlan(table=contract.table, file=contract.file, probes=tuple(probes), key=_key(contract, types))


def _scanned(plan: CheckPlan) -> list[Probe]:
    return [probe for probe in plan.probes if not probe.settled and not probe.alone]


def queries(plan: CheckPlan) -> list[str]:
    """What `run` asks whatever the answers are: the scan, then the probes that stand alone, in their order."""
    parts = ["count(*)"]
    parts += [f"count(*) filter (where {p.failing})" if p.failing else p.measure for p in _scanned(plan)]
    listed = ", ".join(f"{part} as c{number}" for number, part in enumerate(parts))
    return [f"select {listed} from {column(plan.table)}", *(p.measure for p in plan.probes if p.alone)]


def run(plan: CheckPlan, query: Query) -> tuple[CheckResult, ...]:
    """Measure all probes: one scan for what one scan can tell, a query each for uniqueness and foreign keys."""
    scanned = _scanned(plan)
    row = _row(query(queries(plan)[0]))
    rows = int(row[0])
    measured = dict(zip([probe.name for probe in scanned], row[1:], strict=True))
    for probe in plan.probes:
        if probe.alone:
            measured[probe.name] = _row(query(probe.measure))[0]
    return tuple(_result(plan, probe, measured.get(probe.name), rows, query) for probe in plan.probes)


def _column_probes(
    contract: Contract, promise: Column, arrow: str, foreign: Mapping[str, Sequence[Field]]
) -> Iterable[Probe]:
    name = column(promise.name)
    same: dict[str, Any] = {"column": promise.name, "line": promise.line}
    wrong_type = _type_probe(promise, arrow)
    if wrong_type is not None:
        yield msgspec.structs.replace(wrong_type, **same)
        yield from (msgspec.structs.replace(probe, **same) for probe in _unreadable(promise, arrow))
        promise = _without_values(promise)
    if promise.required or promise.primary_key:
        yield Probe(name=f"{promise.name} is required", says="without a value", failing=f"{name} is null", **same)
    if promise.enum is not None:
        allowed = ", ".join(value(each) for each in promise.enum)
        says = f"with a value that is not one of the {len(promise.enum)} promised"
        yield Probe(name=f"{promise.name} is one of", says=says, failing=f"{name} not in ({allowed})", **same)
    for limit, sign, word in ((promise.minimum, "<", "below"), (promise.maximum, ">", "above")):
        if limit is not None:
            says = f"{word} {limit}"
            title = f"{promise.name} is {'at least' if sign == '<' else 'at most'} {limit}"
            yield Probe(name=title, says=says, failing=f"{name} {sign} {value(limit)}", **same)
    if promise.pattern is not None:
        condition = f"not regexp_full_match(cast({name} as varchar), {value(promise.pattern)})"
        yield Probe(
            name=f"{promise.name} has the pattern", says="that do not match the pattern", failing=condition, **same
        )
    for length, sign, word in ((promise.min_length, "<", "shorter"), (promise.max_length, ">", "longer")):
        if length is not None:
            condition = f"length(cast({name} as varchar)) {sign} {length}"
            title = f"{promise.name} is at {'least' if sign == '<' else 'most'} {length} long"
            yield Probe(name=title, says=f"{word} than {length}", failing=condition, **same)
    if promise.unique or promise.primary_key:
        yield _unique(contract, f"{promise.name} is unique", (promise.name,), promise.line, "error")
    if promise.references and promise.references[0] in foreign:
        other, key = promise.references
        sql = (
            f"select count(*) from {column(contract.table)} as a anti join {column(other)} as b"
            f" on a.{name} = b.{column(key)} where a.{name} is not null"
        )
        title = f"{promise.name} is in {other}.{key}"
        yield Probe(
            name=title, says=f"whose {promise.name} is not in {other}.{key}", measure=sql, alone=True, maximum=0, **same
        )


_FITS = {
    "string": ("string", "large_string", "string_view", "dictionary"),
    "integer": ("int", "uint"),
    "number": ("int", "uint", "double", "float", "halffloat", "decimal"),
    "boolean": ("bool",),
    "date": ("date",),
    "timestamp": ("timestamp",),
    "time": ("time",),
    "object": ("struct", "map", "string"),
    "array": ("list", "large_list", "fixed_size_list"),
}


def _type_probe(promise: Column, arrow: str) -> Probe | None:
    """That a column has the promised type; text that holds another type's values everywhere is told apart from text that does not."""
    if promise.type is None or arrow.startswith(_FITS[promise.type]) or arrow == "null":
        return None
    said = f"the column is {arrow}, promised was {promise.type}"
    return Probe(name=f"{promise.name} has the type {promise.type}", settled=said)


_READ_AS = {
    "integer": "bigint", "number": "double", "boolean": "boolean", "date": "date", "timestamp": "timestamp", "time": "time",
}  # fmt: skip


def _unreadable(promise: Column, arrow: str) -> Iterable[Probe]:
    """Which rows of a column of text keep it from having its promised type."""
    target = _READ_AS.get(promise.type or "")
    if target and arrow.startswith(_FITS["string"]):
        name = column(promise.name)
        failing = f"{name} is not null and try_cast({name} as {target}) is null"
        yield Probe(
            name=f"{promise.name} can be read as {promise.type}", says=f"that are no {promise.type}", failing=failing
        )


def _without_values(promise: Column) -> Column:
    """The promise without what only values of its own type can be held against."""
    return msgspec.structs.replace(promise, enum=None, minimum=None, maximum=None, references=None)


def _unique(contract: Contract, title: str, names: Sequence[str], line: int, severity: str) -> Probe:
    listed = ", ".join(column(name) for name in names)
    present = " and ".join(f"{column(name)} is not null" for name in names)
    sql = (
        f"select coalesce(sum(n - 1), 0) from (select count(*) as n from {column(contract.table)}"
        f" where {present} group by {listed} having count(*) > 1)"
    )
    only = names[0] if len(names) == 1 else None
    return Probe(
        name=title, column=only, says="repeat a key that another row has", measure=sql, alone=True, maximum=0, line=line,
        severity=severity,
    )  # fmt: skip


def _can(check: TableCheck, types: Mapping[str, str], wrong: Collection[str]) -> bool:
    """That a promise about the whole table can be measured: its columns are there, and of their promised type."""
    named = [*check.columns, *([check.column] if check.column else [])]
    if any(name.lower() in (check.sql or "").lower() for name in wrong):
        return False
    return all(name in types for name in named) and check.column not in wrong


def _table_probe(contract: Contract, check: TableCheck, now: str) -> Probe:
    same: dict[str, Any] = {
        "name": check.name, "column": check.column, "minimum": check.minimum, "maximum": check.maximum,
        "severity": check.severity, "line": check.line,
    }  # fmt: skip
    match check.kind:
        case "row-count":
            return Probe(measure="count(*)", says="rows", **same)
        case "freshness":
            age = (
                f"date_diff('second', max(cast({column(check.column or '')} as timestamptz)), timestamptz {value(now)})"
            )
            return Probe(measure=age, says="seconds old", **same)
        case "unique":
            return _unique(contract, check.name, check.columns, check.line, check.severity)
        case "sql":
            sql = (
                (check.sql or "").replace("{table}", column(contract.table)).replace("${table}", column(contract.table))
            )
            return Probe(measure=sql, says="", alone=True, **same)


def _key(contract: Contract, types: Mapping[str, str]) -> str:
    """What names a row: its key, unless that is personal itself; then its number."""
    keys = [c for c in contract.columns if (c.primary_key or c.unique) and c.name in types]
    open_keys = [c for c in sorted(keys, key=lambda c: not c.primary_key) if not c.personal]
    return column(open_keys[0].name) if open_keys else ""


def _result(plan: CheckPlan, probe: Probe, measured: Any, rows: int, query: Query) -> CheckResult:
    if probe.settled:
        return _said(plan, probe, failed=1, rows=rows, reason=probe.settled)
    if probe.failing:
        failed = int(measured or 0)
        sample = _sample(plan, probe, query) if failed else ()
        reason = f"{count(failed, 'row')} of {rows:,} {probe.says}" if failed else ""
        return _said(plan, probe, failed=failed, rows=rows, reason=reason, sample=sample)
    number = None if measured is None else float(measured)
    low = number is None or (probe.minimum is not None and number < probe.minimum)
    high = number is not None and probe.maximum is not None and number > probe.maximum
    if not low and not high:
        return _said(plan, probe, failed=0, rows=rows, reason="")
    if probe.alone and probe.maximum == 0 and probe.says:
        return _said(
            plan, probe, failed=int(number or 0), rows=rows, reason=f"{count(int(number or 0), 'row')} {probe.says}"
        )
    bounds = [
        f"at least {probe.minimum:g}" if probe.minimum is not None else "",
        f"at most {probe.maximum:g}" if probe.maximum is not None else "",
    ]
    promised = " and ".join(bound for bound in bounds if bound)
    found = "nothing" if number is None else f"{number:g}"
    return _said(
        plan, probe, failed=1, rows=rows, reason=f"it is {found} {probe.says}".rstrip() + f", promised was {promised}"
    )


def _said(
    plan: CheckPlan, probe: Probe, *, failed: int, rows: int, reason: str, sample: tuple[str, ...] = ()
) -> CheckResult:
    return CheckResult(
        table=plan.table,
        check=probe.name,
        column=probe.column,
        passed=failed == 0,
        failed=failed,
        rows=rows,
        reason=reason,
        sample=sample,
        severity="warning" if probe.severity == "warning" else "error",
        file=plan.file,
        line=probe.line,
    )


def _sample(plan: CheckPlan, probe: Probe, query: Query) -> tuple[str, ...]:
    """A few ids of failing rows (row numbers, from 1, where the table has no key that may be shown)."""
    table = column(plan.table)
    if plan.key and probe.column and plan.key != column(probe.column):
        sql = f"select cast({plan.key} as varchar) as id from {table} where {probe.failing} limit {SAMPLE}"
        return tuple(str(each) for each in query(sql).column(0).to_pylist())
    inner = f"select row_number() over () as number, * from {table}"
    sql = f"select number from ({inner}) where {probe.failing} limit {SAMPLE}"
    return tuple(f"row {each}" for each in query(sql).column(0).to_pylist())


def _row(answer: pa.Table) -> list[Any]:
    return [each[0].as_py() for each in answer.columns]
