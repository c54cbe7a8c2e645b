"""What flows where, found by trying: one column of one base table is changed, the pipeline runs again in DuckDB, and what is different depends
on that column. The engine under test has no part in it.

An output column differs when the values in it differ (as a bag), or when its values beside those of an id that rows carry along do. Flows that no
trial shows stay unseen, so what is found is a lower bound of the truth.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import duckdb
from generator import BASE, LABEL, ROWS, Step, contents, load, pipeline, value

Found = dict[tuple[str, str], set[tuple[str, str]]]  # (step, column) -> {(table, column)}


@dataclass
class Case:
    """A pipeline and what was seen to flow. `tried`: how many changes of each base column ran through."""

    seed: int
    steps: list[Step]
    seen: Found = field(default_factory=dict)
    tried: Counter = field(default_factory=Counter)


def changes(rng: random.Random, column: str, kind: str, old: list) -> Iterator[list]:
    """Other contents for a column: all new, one cell, another order, one constant, nothing, turned around."""
    if LABEL.match(column):
        yield rng.sample(old, len(old))
        yield [each + 10 for each in old]
        yield [old[0]] * len(old)
        yield old[::-1]
        return
    yield [value(rng, kind) for _ in old]
    place = rng.randrange(len(old))
    yield [value(rng, kind) if n == place else each for n, each in enumerate(old)]
    yield rng.sample(old, len(old))
    yield [value(rng, kind, nulls=False)] * len(old)
    yield [None] * len(old)
    yield [value(rng, kind, nulls=False) for _ in old]
    place = rng.randrange(len(old))
    yield [value(rng, kind, nulls=False) if n == place else each for n, each in enumerate(old)]


def picture(connection: duckdb.DuckDBPyConnection, step: Step) -> dict[str, Counter] | None:
    """Of each column its values as a bag, alone and beside each label; None when the columns have other names."""
    answer = connection.execute(f"from {step.name}")
    if [each[0] for each in answer.description] != step.columns:
        return None
    columns = [[repr(each) for each in column] for column in zip(*answer.fetchall(), strict=True)]
    columns = columns or [[] for _ in step.columns]
    seen = {}
    for name, values in zip(step.columns, columns, strict=True):
        seen[name] = Counter(values)
        for label, marks in zip(step.columns, columns, strict=True):
            if label in step.labels and label != name:
                seen[f"{name}\0{label}"] = Counter(zip(marks, values, strict=True))
    return seen


def reading(steps: list[Step], table: str) -> list[Step]:
    """The steps that read a table, or what a step made of it."""
    names, found = {table}, []
    for step in steps:
        if any(re.search(rf"\b{name}\b", step.sql, re.IGNORECASE) for name in names):
            names.add(step.name)
            found.append(step)
    return found


def different(before: dict[str, Counter], after: dict[str, Counter], changed: str) -> set[str]:
    """The columns that differ after `changed` was changed."""
    found = set()
    for key, values in before.items():
        name, _, label = key.partition("\0")
        if label and (LABEL.match(changed) or before[label] != after[label]):
            continue
        if values != after[key]:
            found.add(name)
    return found


def case(seed: int, *, trials: int, wanted: Callable[[Case, str, str], bool] = lambda *_: True) -> Case:
    """A random pipeline, and the flows that show. Columns of which `wanted` says no are not tried."""
    rng = random.Random(seed)
    connection = duckdb.connect(config={"threads": 1})
    data = contents(rng)
    for table, columns in data.items():
        load(connection, table, columns)
    made = Case(seed, pipeline(connection, rng, rng.choice([1, 2, 2, 3, 3, 4])))
    made.seen = {(step.name, column): set() for step in made.steps for column in step.columns}
    before = {step.name: picture(connection, step) for step in made.steps}
    for table, columns in BASE.items():
        steps = reading(made.steps, table)
        if not steps:
            continue
        for column, kind in columns.items():
            if not wanted(made, table, column):
                continue
            tries = list(changes(rng, column, kind, data[table][column]))
            for new in rng.sample(tries, min(trials, len(tries))):
                load(connection, table, {**data[table], column: new})
                try:
                    _again(connection, made, steps, before, (table, column))
                except duckdb.Error:
                    continue  # an error is no answer; it is counted by what is missing in `tried`
                made.tried[table, column] += 1
        load(connection, table, data[table])
        for step in steps:
            connection.execute(f"create or replace table {step.name} as {step.sql}")
    connection.close()
    return made


def _again(
    connection: duckdb.DuckDBPyConnection, made: Case, steps: list[Step], before: dict[str, dict[str, Counter]], changed: tuple[str, str]
) -> None:
    for step in steps:
        connection.execute(f"create or replace table {step.name} as {step.sql}")
        after = picture(connection, step)
        for column in step.columns if after is None else different(before[step.name], after, changed[1]):
            made.seen[step.name, column].add(changed)
        if after is None:
            return


__all__ = ["ROWS", "Case", "case"]
