"""Times column lineage of a large project beside parsing it once, and measures the corpus of random pipelines:

`python benchmarks/lineage.py` prints the speed; `python benchmarks/lineage.py corpus` prints the table of docs/lineage.md (minutes).
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import measure

from payoff.data.labels import Labelled, Labels, Made, propagate
from payoff.data.lineage import flows
from payoff.data.lineage.analysis import parse
from payoff.records.label import LabelSpec

LABELS = Labels(SimpleNamespace(labels=LabelSpec(classification="internal"), zones=(), contracts=()))
CORPUS = Path(__file__).parents[1] / "tests" / "data" / "lineage"


def project(steps: int = 500, columns: int = 40, seed: int = 1) -> list[tuple[str, str, dict[str, list[str]]]]:
    """(name, query, tables that it reads) of each step: joins, groups, windows, filters and unions over steps before it."""
    rng = random.Random(seed)
    tables = {f"base{n}": [f"b{n}_{i}" for i in range(columns)] for n in range(5)}
    made = []
    for number in range(steps):
        name = f"step{number}"
        one, two = rng.choice(list(tables)[-12:]), rng.choice(list(tables)[-12:])
        left, right = tables[one], tables[two]
        outs = [f"s{number}_{i}" for i in range(columns)]
        pick = lambda of: rng.choice(of)  # noqa: E731
        kind = number % 5
        if kind == 0:
            items = [
                f"x.{pick(left)} as {out}" if i % 3 else f"coalesce(y.{pick(right)}, x.{pick(left)} * 2) as {out}"
                for i, out in enumerate(outs)
            ]
            sql = f"select {', '.join(items)} from {one} x left join {two} y on x.{pick(left)} = y.{pick(right)} where x.{pick(left)} > 0"
        elif kind == 1:
            items = [f"{pick(left)} as {outs[0]}", *(f"sum({pick(left)}) as {out}" for out in outs[1:])]
            sql = f"select {', '.join(items)} from {one} group by all having count(*) > 5"
        elif kind == 2:
            items = [
                f"case when {pick(left)} > 1 then {pick(left)} else {pick(left)} + 1 end as {out}" for out in outs[:-1]
            ]
            sql = (
                f"with q as (select * from {one} where {pick(left)} is not null) select {', '.join(items)}, "
                f"row_number() over (partition by {pick(left)} order by {pick(left)}) as {outs[-1]} from q"
            )
        elif kind == 3:
            renames = ", ".join(f"{a} as {b}" for a, b in zip(left, outs, strict=True))
            sql = f"select * rename ({renames}) from {one}"
        else:
            halves = [", ".join(f"{pick(of)} as {out}" for out in outs) for of in (left, right)]
            sql = f"select {halves[0]} from {one} union all select {halves[1]} from {two} where {pick(right)} in (select {pick(left)} from {one})"
        made.append((name, sql, {one: left, two: right}))
        tables[name] = outs
    return made


def lineage(steps: list[tuple[str, str, dict[str, list[str]]]]) -> Labelled:
    """The whole project, once: all flows, and the labels of every column."""
    base = {table: columns for _, _, tables in steps for table, columns in tables.items()}
    made = [Made(table=name, kind="query", flows=flows(sql, tables)) for name, sql, tables in steps]
    sources = [
        Made(table=table, kind="source", columns=tuple(base[table]))
        for table in base
        if table not in {name for name, *_ in steps}
    ]
    return propagate([*sources, *made], LABELS)


def speed() -> Iterator[measure.Ratio]:
    """Flows and labels of 500 steps and 20,000 columns, the trees at hand, against parsing the same SQL once."""
    steps = project()

    def parsing() -> float:
        parse.cache_clear()
        start = time.process_time()
        for _, sql, _ in steps:
            parse(sql)
        return time.process_time() - start

    def ours() -> float:
        start = time.process_time()
        lineage(steps)
        return time.process_time() - start

    parsing()
    yield measure.pair(
        "lineage, 500 steps, 20,000 columns",
        ours,
        parsing,
        aim=1,
        against="parsing the SQL once (processor time)",
        pairs=5,
    )


def corpus() -> str:
    """The table of the docs page."""
    sys.path.insert(0, str(CORPUS))
    import test_corpus
    import truth

    return test_corpus.table(
        test_corpus.measured(truth.case(seed, trials=4) for seeds in test_corpus.PUBLISHED for seed in seeds)
    )


if __name__ == "__main__":
    print(measure.machine())
    if sys.argv[1:2] == ["corpus"]:
        print(corpus())
    else:
        for each in speed():
            print(each)
