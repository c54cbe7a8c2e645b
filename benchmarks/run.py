"""Prints Payoff's speed as ratios measured side by side in one run: `python benchmarks/run.py [NAME ...]`.

Each line gives the median of the pairs' ratios, the aim, and what it was measured against. Nothing here fails a build: machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gateway
import measure
import projects

PYTHON = sys.executable
PAYOFF = str(Path(PYTHON).with_name("payoff"))
QUIET = {**os.environ, "PAYOFF_NO_PROGRESS": "1"}


def version(folder: Path) -> Iterator[measure.Ratio]:
    """`payoff --version` against an interpreter that does nothing."""
    yield measure.pair(
        "payoff --version",
        measure.command(PAYOFF, "--version"),
        measure.command(PYTHON, "-c", "pass"),
        aim=2,
        against="python -c pass",
        pairs=21,
    )


def unchanged(folder: Path) -> Iterator[measure.Ratio]:
    """`payoff run` on an unchanged project of ten steps."""
    pipeline = projects.MODEL + projects.trivial_steps(8, chain=True)
    made = projects.project(folder / "unchanged", pipeline, dependencies=["pyarrow"])
    subprocess.run([PAYOFF, "run", "--project", str(made)], check=False, capture_output=True)
    yield measure.pair(
        "payoff run, unchanged, 10 steps",
        measure.command(PAYOFF, "run", "--project", str(made)),
        measure.command(PYTHON, "-c", "pass"),
        aim=6,
        against="python -c pass",
        pairs=21,
    )


def _cold(made: Path, target: str) -> Callable[[], float]:
    """A run that remembers nothing, its environment ready: what a step costs besides its own work."""

    def once() -> float:
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "store", "cache"):
            path = made / ".payoff" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return measure.command(PAYOFF, "run", "--project", str(made), "--only", target)()

    return once


def trivial(folder: Path) -> Iterator[measure.Ratio]:
    """Ten trivial steps, cold, each in its own process."""
    pipeline = projects.MODEL.replace("import pyarrow as pa\n", "").replace("import pyarrow.compute as pc\n", "")
    pipeline = pipeline.replace("pa.Table", "'pa.Table'") + projects.trivial_steps(10, chain=True)
    made = projects.project(folder / "trivial", pipeline, dependencies=[])

    def bare() -> float:
        start = time.perf_counter()
        for _ in range(10):
            subprocess.run([PYTHON, "-c", "pass"], check=True)
        return time.perf_counter() - start

    yield measure.pair(
        "10 trivial steps, cold", _cold(made, "s9"), bare, aim=2, against="ten bare interpreters, one after another"
    )


_POOL = """
from concurrent.futures import ProcessPoolExecutor
import os
def work(x): return x + 1
if __name__ == "__main__":
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        print(sum(pool.map(work, range(50))))
"""


def fan_out(folder: Path) -> Iterator[measure.Ratio]:
    """Fifty steps from one, against a bare process pool."""
    pipeline = projects.MODEL.replace("import pyarrow as pa\n", "").replace("import pyarrow.compute as pc\n", "")
    names = ", ".join(f"s{n}" for n in range(1, 51))
    gather = f"\n@step\ndef total({names}):\n    return sum([{names}])\n"
    pipeline = pipeline.replace("pa.Table", "'pa.Table'") + projects.trivial_steps(51, chain=False) + gather
    made = projects.project(folder / "fan", pipeline, dependencies=[])
    (folder / "pool.py").write_text(_POOL)
    yield measure.pair(
        "50-way fan-out, cold",
        _cold(made, "total"),
        measure.command(PYTHON, str(folder / "pool.py")),
        aim=2,
        against="a bare process pool",
    )


_TABLE = """
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from payoff import step


@step
def first() -> pa.Table:
    rng = np.random.default_rng(7)
    n = {rows}
    words = pa.array(["alpha", "beta", "gamma", "delta", "epsilon-longer-word"])
    return pa.table({{
        "id": np.arange(n),
        "group": rng.integers(0, 1000, n),
        "amount": rng.normal(100, 20, n),
        "rate": rng.random(n),
        "when": pa.array(rng.integers(1_600_000_000, 1_700_000_000, n), pa.timestamp("s", tz="UTC")),
        "word": words.take(pa.array(rng.integers(0, 5, n))),
        "name": pc.cast(pa.array(rng.integers(0, 10**9, n)), pa.string()),
        "flag": rng.random(n) > 0.5,
        "x": rng.random(n),
        "y": rng.random(n),
    }})


@step
def second(first: pa.Table) -> pa.Table:
    return first.append_column("net", pc.multiply(first["amount"], first["rate"]))


@step
def third(second: pa.Table) -> pa.Table:
    return second.filter(pc.greater(second["net"], 20.0))
"""


_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def table(folder: Path, rows: int = 10_000_000) -> Iterator[object]:
    """Ten million mixed rows (1 GB) through three Python steps against the same functions in one process; and the largest process."""
    code = _TABLE.format(rows=rows)
    made = projects.project(folder / "table", projects.MODEL + code, dependencies=["pyarrow", "numpy"])
    (folder / "inline.py").write_text(
        code.replace("from payoff import step", "step = lambda f: f") + "\nthird(second(first()))\n"
    )
    yield measure.pair(
        f"{rows:,} rows through three steps",
        _cold(made, "third"),
        measure.command(PYTHON, str(folder / "inline.py")),
        aim=2.5,
        against="the same three functions in one process",
        pairs=3,
    )
    run = [PAYOFF, "run", "--project", str(made), "--only", "third", "--force"]
    done = subprocess.run([PYTHON, "-c", _PEAK, *run], capture_output=True, text=True, check=True)
    peak, size = int(done.stdout), max(each.stat().st_size for each in made.glob(".payoff/store/tables/*/*.arrow"))
    mark = "ok  " if peak <= 2 * size else "MISS"
    yield f"{mark} largest process: {peak / size:.2f}x its largest table of {size / 1e6:,.0f} MB (aim 2x)"


_ARROW = """
import pathlib, time
import numpy as np
import pyarrow as pa
from payoff.adapters.engines.duckdb import Options, connect
from payoff.data import checks
from payoff.execute.context import fields
from payoff.records.contract import Column, Contract, TableCheck

rng = np.random.default_rng(7)
n = {rows}
words = pa.array(["alpha", "beta", "gamma", "delta"])
table = pa.table({{
    "id": rng.permutation(n), "amount": rng.normal(100, 20, n), "rate": rng.random(n), "group": rng.integers(0, 1000, n),
    "word": words.take(pa.array(rng.integers(0, 4, n))), "x": rng.random(n), "y": rng.random(n), "flag": rng.random(n) > 0.5,
}})
engine = connect(pathlib.Path("."), Options())
files = {{"t": pathlib.Path("t.arrow")}}
engine.write(table.to_reader(), files["t"])
columns = (
    Column(name="id", primary_key=True, minimum=0),
    Column(name="amount", required=True, minimum=-1000, maximum=1000),
    Column(name="rate", required=True, minimum=0, maximum=1),
    Column(name="group", required=True, minimum=0, maximum=999),
    Column(name="word", required=True, enum=("alpha", "beta", "gamma", "delta"), min_length=2, max_length=10),
    Column(name="x", required=True, minimum=0, maximum=1),
    Column(name="y", required=True, maximum=1),
    Column(name="flag", required=True),
)
contract = Contract(table="t", file="c", version="1", columns=columns)
shape = fields(table.schema)
plan = checks.compile_contract(contract, shape, promised_from=table.schema.names, foreign={{}}, now="2026-01-01T00:00:00Z")
assert len(plan.probes) >= 20, len(plan.probes)
BY_HAND = '''select count(*), count(*) filter (where id is null), count(*) filter (where id < 0), count(distinct id),
 count(*) filter (where amount is null), min(amount), max(amount), count(*) filter (where rate is null), min(rate), max(rate),
 count(*) filter (where "group" is null), min("group"), max("group"), count(*) filter (where word is null),
 count(*) filter (where word not in ('alpha', 'beta', 'gamma', 'delta')), min(length(word)), max(length(word)),
 count(*) filter (where x is null), min(x), max(x), count(*) filter (where y is null), max(y), count(*) filter (where flag is null)
 from t'''
def timed(what):
    start = time.perf_counter()
    what()
    return time.perf_counter() - start
ours = lambda: [r for r in checks.run(plan, lambda sql: engine.query(sql, files)) if not r.passed] and 1 / 0
theirs = lambda: engine.query(BY_HAND, files)
ours(), theirs()
for _ in range(5):
    print(timed(ours), timed(theirs), len(plan.probes))
"""


def checks(folder: Path, rows: int = 10_000_000) -> Iterator[measure.Ratio]:
    """Twenty promises about ten million rows against one query with the same aggregates, written by hand."""
    done = subprocess.run(
        [PYTHON, "-c", _ARROW.format(rows=rows)], cwd=folder, capture_output=True, text=True, check=True
    )
    pairs = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    times = iter([seconds for pair in pairs for seconds in pair[:2]])
    yield measure.pair(
        f"{pairs[0][2]:.0f} contract checks on {rows:,} rows",
        lambda: next(times),
        lambda: next(times),
        aim=1.3,
        against="one DuckDB query by hand",
        pairs=len(pairs),
        warm_up=0,
    )


_BOOTSTRAP = """
import resource, time
import numpy as np
from scipy import stats
from payoff.value import intervals
rng = np.random.default_rng(1)
money = rng.lognormal(6, 1.2, (1_000_000, 5)) * (rng.random((1_000_000, 5)) < 0.1) - 1
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
def timed(what):
    start = time.perf_counter()
    what()
    return time.perf_counter() - start
def ours():
    intervals._draws.cache_clear()
    intervals.bootstrap(money, confidence=0.95, seed=1, resamples=2000)
def loop():
    for _ in range(FEW):
        money[rng.integers(0, len(money), len(money))].mean(axis=0)
def scipys():
    mean = lambda *columns, axis: np.stack([column.mean(axis=axis) for column in columns])
    stats.bootstrap(tuple(money.T), mean, n_resamples=FEW, batch=1, paired=True, method="percentile", vectorized=True, rng=rng)
FEW = 10  # of 2,000 resamples: the others would take as long each
print(timed(ours), peak() - before)
for _ in range(3):
    print(timed(ours), timed(loop) * 2000 / FEW, timed(scipys) * 2000 / FEW)
"""


def bootstrap(folder: Path) -> Iterator[object]:
    """Intervals of a million rows and five alternatives from 2,000 resamples, against a plain loop and scipy (both timed on ten resamples)."""
    done = subprocess.run([PYTHON, "-c", _BOOTSTRAP], cwd=folder, capture_output=True, text=True, check=True)
    first, *rounds = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    for column, against in ((1, "a NumPy loop over resamples"), (2, "scipy.stats.bootstrap, percentile")):
        times = iter([seconds for each in rounds for seconds in (each[0], each[column])])
        yield measure.pair(
            "intervals, 1,000,000 rows x 5, 2,000 resamples",
            lambda: next(times),
            lambda: next(times),
            aim=1,
            against=against,
            pairs=len(rounds),
            warm_up=0,
        )
    yield f"ok   intervals: {first[1]:.0f} MB beside the 40 MB of money"


def demo(folder: Path) -> Iterator[str]:
    """The share of the demo's wall time that is not the user's own training, on the second and later runs."""
    made = folder / "bank"
    subprocess.run([PAYOFF, "init", str(made), "--template", "bank"], check=True, capture_output=True)
    subprocess.run([PAYOFF, "run", "--project", str(made)], check=False, capture_output=True)
    for number in range(3):
        seconds, document = _timed_run(made, f"max_iter={101 + number}")
        own = sum(s["seconds"] for s in document["steps"] if s["name"] == "model")
        share = 1 - own / seconds
        mark = "ok  " if share <= 0.25 else "MISS"
        yield f"{mark} demo, new parameter: {share:6.1%} of {seconds:.2f} s is not the user's training (aim 25 %)"


def _timed_run(made: Path, parameter: str) -> tuple[float, dict[str, list[dict[str, float]]]]:
    start = time.perf_counter()
    subprocess.run([PAYOFF, "run", "--project", str(made), "-p", parameter], capture_output=True, check=False)
    seconds = time.perf_counter() - start
    shown = subprocess.run(
        [PAYOFF, "show", "latest", "--json", "--project", str(made)], capture_output=True, check=True
    )
    return seconds, json.loads(shown.stdout)


def lazy(folder: Path, rows: int = 5_000_000) -> Iterator[measure.Ratio]:
    """A lazy step over a table in the store, against the same SQL in bare DuckDB from the same file into the same kind of file."""
    yield from _timed(
        folder, "lazy", rows, pairs=7, lines=[("lazy step: engine and Arrow file", 1.1, "the same SQL in bare DuckDB")]
    )


def identity(folder: Path, rows: int = 10_000_000) -> Iterator[object]:
    """The content hash of a table in the store against reading its file once; both from the system's memory of files."""
    yield from _timed(
        folder,
        "identity",
        rows,
        pairs=7,
        lines=[
            ("content hash of a table", 3, "reading its file once, one thread"),
            ("content hash of a table", 1, "SHA-256 of its file"),
            ("content hash of a table", 1, "the largest of every column, in DuckDB"),
        ],
    )
    size = (folder / "t.arrow").stat().st_size
    yield f"     the table has {size / 1e9:.2f} GB: divide by the seconds above"


def pushdown(folder: Path, rows: int = 1_000_000) -> Iterator[measure.Ratio]:
    """PostgreSQL: a pushed aggregate against reading its table for DuckDB; a whole table against bare ADBC and pandas."""
    lines = [
        ("pushed aggregate, PostgreSQL", 1, "reading its columns, then DuckDB"),
        ("PostgreSQL -> stored, named table", 1.2, "bare ADBC to a Parquet file"),
        ("PostgreSQL -> stored, named table", 1, "pandas.read_sql (ADBC) and to_parquet"),
    ]
    yield from _timed(folder, "pushdown", rows, pairs=5, lines=lines)


def _timed(
    folder: Path, what: str, rows: int, *, pairs: int, lines: list[tuple[str, float, str]]
) -> Iterator[measure.Ratio]:
    """Lines of `ours base` for each measurement, round by round, from a process of its own."""
    script = Path(__file__).with_name("queries.py")
    words = [PYTHON, str(script), what, str(rows), str(pairs)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    rounds = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    for place, (name, aim, against) in enumerate(lines):
        times = iter([seconds for each in rounds for seconds in each[2 * place : 2 * place + 2]])
        yield measure.pair(
            f"{name}, {rows:,} rows",
            lambda times=times: next(times),
            lambda times=times: next(times),
            aim=aim,
            against=against,
            pairs=pairs,
            warm_up=0,
        )


ALL: dict[str, Callable[[Path], Iterator[object]]] = {
    "version": version,
    "unchanged": unchanged,
    "trivial": trivial,
    "fan_out": fan_out,
    "table": table,
    "checks": checks,
    "bootstrap": bootstrap,
    "demo": demo,
    "lazy": lazy,
    "identity": identity,
    "pushdown": pushdown,
    "gateway": gateway.speed,
}


def main() -> None:
    """Run the benchmarks named (all when none is) in a folder of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*ALL, []], help="which (default: all)")
    chosen = parser.parse_args().name or list(ALL)
    print(measure.machine())
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="payoff-bench-") as folder:
            for line in ALL[name](Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
