"""Whether a function's columns depend on no more than its contract says: what they are said not to depend on is changed, and they must stay.

Non-interference, tested: once with the lower half of each undeclared column's values in its place, once with the upper half, so that means, extremes and
numbers of distinct values move too. What it finds is certain; that it finds nothing is evidence for these rows, no proof for others.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.errors import UserError, Where
from payoff.data.names import column as quoted
from payoff.execute.context import Context, Sandbox, Work
from payoff.execute.failures import raise_failure

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from payoff.records.artifact import Artifact
    from payoff.records.contract import Contract
    from payoff.records.project import Step
    from payoff.records.task import Task, TaskResult

    Sources = tuple[tuple[str, str], ...]


def verify(context: Context, step: Step, task: Task, made: Artifact) -> Generator[Sandbox | Work, Any, None]:
    """Run a step again over changed columns, for each set of columns that its contract says columns depend on."""
    contract = context.project.contract(step.name)
    if contract is None or made.kind != "table":
        return
    for number, (sources, columns) in enumerate(_declared(contract, made).items()):
        for half in (0, 1):
            inputs = yield Work(lambda sources=sources, half=half: _changed(context, step, sources, half))
            changed = msgspec.structs.replace(
                task,
                id=f"{task.id}:changed:{number}:{half}",
                output=str(context.kit.store.scratch(f"{step.name}-changed")),
                inputs=tuple(msgspec.structs.replace(each, path=str(inputs[each.name])) for each in task.inputs),
            )
            result: TaskResult = yield Sandbox(changed)
            if result.failure:
                raise_failure(step, result.failure, result)
            moved = yield Work(lambda result=result, columns=columns: _moved(context, made, result.file, columns))
            if moved:
                raise _undeclared(step, contract, moved)


def _declared(contract: Contract, made: Artifact) -> dict[Sources, list[str]]:
    """The columns by what they are said to depend on."""
    found: dict[Sources, list[str]] = {}
    for column in contract.columns:
        if column.depends is not None and column.name in made.columns:
            found.setdefault(tuple(sorted(column.depends)), []).append(column.name)
    return found


def _changed(context: Context, step: Step, sources: Sources, half: int) -> Mapping[str, Path]:
    """The step's inputs, with other values in every column that is not declared; an object stays as it is."""
    files: dict[str, Path] = {}
    for each in step.inputs:
        file = context.file(each.name)
        names = (
            context.kit.engine.query('select * from "t" limit 0', {"t": file}).column_names
            if _is_table(context, each.name)
            else []
        )
        others = [name for name in names if (each.name, name) not in sources]
        if others:
            output = Path(f"{context.kit.store.scratch(each.name)}.arrow")
            context.kit.engine.transform(_sql(names, others, half), {"t": file}, output)
            file = output
        files[each.name] = file
    return files


def _is_table(context: Context, name: str) -> bool:
    artifact = context.artifacts.get(name)
    return artifact is None or artifact.kind == "table"


def _sql(names: list[str], others: list[str], half: int) -> str:
    """The table with each of the `others` drawn, with replacement, from one half of its sorted values."""
    number = {name: index for index, name in enumerate(others)}
    parts = []
    for name in names:
        shown = quoted(name)
        if name not in number:
            parts.append(f"r.{shown}")
            continue
        values = f"v.v{number[name]}"
        place = f"cast(hash(r.payoff_row, {number[name]}) % greatest(1, (len({values}) + 1) // 2) as bigint)"
        start = f"(len({values}) // 2)" if half else "0"
        parts.append(f"{values}[least(len({values}), 1 + {start} + {place})] as {shown}")
    sorted_ = ", ".join(f"list({quoted(name)} order by {quoted(name)}) as v{index}" for name, index in number.items())
    rows = 'select *, row_number() over () as payoff_row from "t"'
    return f'select {", ".join(parts)} from ({rows}) r cross join (select {sorted_} from "t") v order by r.payoff_row'


def _moved(context: Context, made: Artifact, changed: str, columns: list[str]) -> list[str]:
    """The columns that came out otherwise."""
    rows = "select *, row_number() over () as payoff_row from"
    differ = ", ".join(
        f"count(*) filter (where a.{quoted(n)} is distinct from b.{quoted(n)}) as c{i}" for i, n in enumerate(columns)
    )
    sql = (
        f"select {differ}, count(*) filter (where a.payoff_row is null or b.payoff_row is null) as rows "
        f"from ({rows} before) a full join ({rows} after) b using (payoff_row)"
    )
    answer = context.kit.engine.query(sql, {"before": context.kit.store.path(made), "after": Path(changed)})
    counts = [column[0].as_py() for column in answer.columns]
    return [name for name, count in zip(columns, counts, strict=False) if count or counts[-1]]


def _undeclared(step: Step, contract: Contract, moved: list[str]) -> UserError:
    column = contract.column(moved[0])
    return UserError(
        f"{step.name}.{moved[0]} depends on more than its contract says: it changed when other columns did"
        + (f" (and so did {', '.join(moved[1:6])})" if moved[1:] else ""),
        code="PO-F020",
        expected="a column that stays as it is while all but what its depends names is changed",
        remedy=f"add the columns to depends, or remove it so that {moved[0]} counts as made of all that {step.name} reads; "
        "a step that draws at random needs a seed",
        where=Where(contract.file, column.line if column is not None else 0),
    )
