"""Tables several times as large as the engine's memory: the same answers as with all of it, or an error that says what does not fit."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from payoff.adapters.engines.duckdb import Options, connect
from payoff.adapters.stores.local import Options as StoreOptions
from payoff.adapters.stores.local import connect as store
from payoff.base.errors import OutsideError
from payoff.execute.pushdown import here

if TYPE_CHECKING:
    from collections.abc import Iterator

QUERIES = {
    "sort": "select * from t order by word, id",
    "group": "select key, sum(id) as s, max(word) as m from t group by key",
    "count distinct, many groups": "select key, count(distinct id % 1000) as n, count(distinct word) as m from t group by key",
    "count distinct, few groups": "select key % 10 as k, count(distinct id) as n from t group by k",
    "count distinct of all": "select count(distinct id) as n, count(distinct word) as m from t",
    "join": "select a.id, b.key from t as a join t as b on a.id = b.id + 1",
    "join with a group": "select a.id, n from t as a left join (select key, count(*) as n from t group by key) as b on a.key = b.key",
    "window": "select id, row_number() over (partition by key order by id) as n from t",
    "distinct": "select distinct key, word from t",
    "distinct, wide": "select distinct * from t",
    "join, wide": "select a.id, b.word, a.pad || b.pad as p from t as a join t as b on a.id = b.id + 1",
    "except": "select id from t except select id * 2 from t",
    "list": "select key, len(list(word)) as n from t group by key",
    "in": "select id from t where id in (select id * 3 from t where key > 10)",
    "uniqueness": "select count(*) as n from (select id from t group by id having count(*) > 1)",
    "split": "select * from t where not (cast('0x' || substr(md5('|' || cast(id as varchar)), 1, 12) as bigint) % 1000000 < 250000) order by id",
}


def rows(count: int, pad: int = 0) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(3)
    for start in range(0, count, 1 << 16):
        size = min(1 << 16, count - start)
        keys = rng.integers(0, count // 50, size)
        words = pa.array(np.char.add("word-number-", rng.integers(0, count // 2, size).astype(str)))
        yield pa.record_batch({"id": np.arange(start, start + size), "key": keys, "word": words, "pad": pa.array(["x" * pad]).take(pa.array(np.zeros(size, "int32")))})


def table(engine: Any, folder: Path, count: int, pad: int = 0) -> Path:
    engine.write(pa.RecordBatchReader.from_batches(next(rows(100)).schema, rows(count, pad)), folder / "t.arrow")
    return folder / "t.arrow"


class Peak:
    """The most memory that this process held, without pages of files: all of it in a process of its own, else beyond what it held before."""

    def __enter__(self) -> Peak:
        self.before, self.most, self.done = (0 if __name__ == "__main__" else self.held()), 0, threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()

    def look(self) -> None:
        while not self.done.wait(0.01):
            self.most = max(self.most, self.held() - self.before)

    def held(self) -> int:
        resident, shared = (int(word) for word in Path("/proc/self/statm").read_text().split()[1:3])
        return (resident - shared) * 4096


def answers(folder: Path, count: int, pad: int, memory: str, bound: int, names: list[str]) -> None:
    """An engine with little memory, in a process of its own, and one with all there is: the same content, row by row where it is sorted."""
    full = connect(folder, Options())
    file = table(full, folder, count, pad)
    done = subprocess.run([sys.executable, __file__, str(folder), memory, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(line.split("|", 1) for line in done.stdout.splitlines())
    print(f"{file.stat().st_size / 1e6:.0f} MB in {memory}")
    for name in names:
        seconds, peak, said = found[name].split("|")
        print(f"{name}: {float(seconds):.1f} s, {int(peak) / 1e6:.0f} MB beside files")
        full.transform(QUERIES[name], {"t": file}, folder / "one.arrow")
        assert said == repr(full.identify(folder / "one.arrow")), name
        assert int(peak) < bound, (name, peak)
        if name in ("sort", "split"):
            first, last = (pa.memory_map(str(folder / each)) for each in ("one.arrow", f"{name}.arrow"))
            assert pa.ipc.open_file(first).read_all().equals(pa.ipc.open_file(last).read_all()), f"{name}: order"
        (folder / f"{name}.arrow").unlink(missing_ok=True)
    left = [path for path in folder.rglob(".payoff/**/*") if path.is_file()]
    assert not left, left


def with_little(folder: Path, memory: str, names: list[str]) -> None:
    """The answers of an engine with little memory: name, seconds, the most memory it took, what it found."""
    engine, place = connect(folder, Options(memory_limit=memory, threads=1)), store(folder, StoreOptions())
    for name in names:
        output, start = folder / f"{name}.arrow", time.monotonic()
        with Peak() as peak:
            here.transform(engine, place, QUERIES[name], {"t": folder / "t.arrow"}, output)
            found = engine.identify(output)
        print(name, time.monotonic() - start, peak.most, repr(found), sep="|", flush=True)
        if name not in ("sort", "split"):
            output.unlink()


def test_several_times_the_memory(tmp_path: Path) -> None:
    """A table of 290 MB, less of it in memory at any time than it has, the interpreter (85 MB) and batches under way among that."""
    answers(tmp_path, 1_200_000, 200, "64MB", 270 << 20, ["sort", "except"])


def test_memory_beyond_the_budget_is_seen(tmp_path: Path) -> None:
    """The test above, of an engine that may take what it likes."""
    with pytest.raises(AssertionError, match="sort"):
        answers(tmp_path, 1_200_000, 200, "4GB", 270 << 20, ["sort"])


class Short:
    """An engine that can do nothing but parts of a sort."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.parts = engine, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def transform(self, sql: str, tables: dict[str, Path], output: Path) -> None:
        if "order by" in sql and "ntile" not in sql:
            if here._BOUNDS not in sql and "is null" not in sql:
                raise OutsideError("short", code=here.NO_MEMORY, remedy="more")
            self.parts += 1
        self.engine.transform(sql, tables, output)


@pytest.mark.parametrize("lost", [False, True])
def test_a_range_that_is_lost_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    from payoff.data.spill.stages import Sort

    passes = Sort.passes
    if lost:
        monkeypatch.setattr(Sort, "passes", lambda *given: passes(*given)[1:])
    engine, sql = Short(connect(tmp_path, Options())), "select * from t order by word, id"
    file = table(engine, tmp_path, 5000)
    here.transform(engine, store(tmp_path, StoreOptions()), sql, {"t": file}, tmp_path / "parts.arrow")
    engine.engine.transform(sql, {"t": file}, tmp_path / "whole.arrow")
    assert engine.parts > 5
    found, expected = (pa.ipc.open_file(pa.memory_map(str(tmp_path / f"{name}.arrow"))).read_all() for name in ("parts", "whole"))
    assert found.equals(expected) is not lost
    assert (engine.identify(tmp_path / "parts.arrow") == engine.identify(tmp_path / "whole.arrow")) is not lost


@pytest.mark.slow  # a gigabyte, a dozen times
def test_five_times_the_memory_at_a_gigabyte(tmp_path: Path) -> None:
    answers(tmp_path, 22_000_000, 0, "200MB", 460 << 20, list(QUERIES))


@pytest.mark.parametrize(
    ("sql", "part"),
    [("select string_agg(word, ',') as s from t", "string_agg(word, ',')"), ("select key % 2 as k, list(word || word) as l from t group by k", "list(word || word)")],
)  # fmt: skip
def test_what_cannot_be_cut_is_named(tmp_path: Path, sql: str, part: str) -> None:
    engine = connect(tmp_path, Options(memory_limit="10MB", threads=1))
    file = table(engine, tmp_path, 400_000)
    with pytest.raises(OutsideError) as caught:
        here.transform(engine, store(tmp_path, StoreOptions()), sql, {"t": file}, tmp_path / "out.arrow")
    assert caught.value.code == here.NO_MEMORY
    assert f"{part} holds all its values in memory" in caught.value.what
    assert "memory_limit in [engine]" in caught.value.remedy
    assert not (tmp_path / "out.arrow").exists()
    assert not [path for path in tmp_path.rglob(".payoff/**/*") if path.is_file()]


def test_what_duckdb_does_not_count_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mode` keeps its values outside of DuckDB's own account."""
    from payoff.adapters.engines.duckdb import memory

    monkeypatch.setattr(memory, "_SLACK", 20 << 20)
    engine = connect(tmp_path, Options(memory_limit="40MB", threads=1))
    file = table(engine, tmp_path, 6_000_000)
    with Peak() as peak, pytest.raises(OutsideError) as caught:
        engine.query("select mode(id) as m from t", {"t": file})
    assert caught.value.code == here.NO_MEMORY
    assert peak.most < 500 << 20
    assert engine.query("select count(*) as n from t", {"t": file}).to_pylist() == [{"n": 6_000_000}]


def test_any_other_error_is_as_it_was(tmp_path: Path) -> None:
    class Broken:
        def transform(self, *_: Any) -> None:
            raise OutsideError("the disk is full", code="PO-E005", remedy="free some")

    with pytest.raises(OutsideError, match="disk is full"):
        here.transform(Broken(), None, "select 1", {}, tmp_path / "o")


if __name__ == "__main__":
    with_little(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
