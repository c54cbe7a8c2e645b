"""A table five times as large as the memory: `python benchmarks/larger.py [--gb 10] [--memory 2GB] [--folder DIR] [NAME ...]`.

Makes the table in a folder that is removed afterwards, and runs each query as a lazy step does (query, file, content hash) in a process of its own.
The process is killed where it holds more than the budget of memory that no file stands behind. Prints a line per query: seconds, the most memory
and disk it held, and what was found; a wrong answer, an error and a kill are told apart. Twice the table's size and the answer's must be free on the disk.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import measure
import numpy as np
import pyarrow as pa

_BATCH = 1 << 16
_NOTE = 120  # characters of a note, none of which can be guessed from the others
_ROW = 8 * 4 + 4 + _NOTE + 4 + 16 + 4  # bytes
_EVERY = 0.01  # seconds between two looks at the memory


@dataclass(frozen=True)
class Case:
    """`sql` over the table t; `check` over its answer a, and t, gives one truth value."""

    sql: str
    check: str
    sorted_by: str = ""


# Half of the ids are even; a key has fifty rows or so; a word is told by its key.
CASES = {
    "hash": Case("", ""),
    "sort": Case("select * from t order by word, id", "select (select count(*) from a) = (select count(*) from t)", "word, id"),
    "window": Case(
        "select id, key, row_number() over (partition by key order by x, id) as n, sum(x) over (partition by key) as s from t",
        "select sum(n) = (select sum(c * (c + 1) // 2) from (select count(*) as c from t group by key)) from a",
    ),
    "distinct": Case("select distinct key, word from t", "select count(*) = (select count(distinct key) from t) from a"),
    "distinct, wide": Case("select distinct * from t", "select count(*) = (select count(*) from t) from a"),
    "join, wide": Case(
        "select a.id, b.key, a.word, substr(b.note, 1, 4) as s, a.note < b.note as l from t as a join t as b on a.id = b.id + 1",
        "select count(*) = (select count(*) - 1 from t) and sum(id) = (select sum(id) from t) from a",
    ),
    "group": Case(
        "select key, count(*) as c, sum(x) as s, max(note) as m from t group by key",
        "select sum(c) = (select count(*) from t) from a",
    ),
    "median": Case(
        "select key, median(x) as m from t group by key", "select count(*) = (select count(distinct key) from t) from a"
    ),
    "count distinct": Case(
        "select count(distinct id) as n, count(distinct word) as w from t",
        "select n = (select count(*) from t) from a",
    ),
    "except": Case(
        "select id, word from t except select id * 2, word from t",
        "select count(*) > (select count(*) from t) * 0.9 from a",
    ),
}  # fmt: skip


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Ids in an order that a sort cannot use, keys, numbers, words and notes. The seed is fixed."""
    rng = np.random.default_rng(11)
    step = next(n for n in range(int(rows * 0.618) | 1, rows * 2, 2) if np.gcd(n, rows) == 1)
    for start in range(0, rows, _BATCH):
        size = min(_BATCH, rows - start)
        ids = (np.arange(start, start + size, dtype=np.int64) * step) % rows
        keys = rng.integers(0, max(rows // 50, 1), size)
        notes = rng.integers(48, 112, (size, _NOTE), dtype=np.uint8)
        offsets = np.arange(0, (size + 1) * _NOTE, _NOTE, dtype=np.int32)
        note = pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(notes.tobytes()))
        hashes = (keys * 0x9E3779B97F4A7C1 % (1 << 40)).astype(np.int64)
        word = pa.array(np.char.add("w", np.char.zfill(hashes.astype(str), 15)))
        day = pa.array((keys % 20_000).astype(np.int32)).cast(pa.date32())
        yield pa.record_batch(
            {"id": ids, "key": keys, "x": rng.random(size), "y": rng.random(size), "day": day, "word": word, "note": note}
        )  # fmt: skip


def make(folder: Path, size: float) -> Path:
    """The table, as the store keeps it."""
    file, rows = folder / "t.arrow", int(size / _ROW)
    first = next(batches(rows))
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
        for batch in batches(rows):
            writer.write_batch(batch)
    return file


def step(folder: Path, name: str, memory: str) -> None:
    """What a lazy step does, in the process that is watched."""
    from payoff.adapters.engines.duckdb import Options, connect
    from payoff.adapters.stores.local import Options as StoreOptions
    from payoff.adapters.stores.local import connect as store
    from payoff.execute.pushdown import here

    engine, case, output = connect(folder, Options(memory_limit=memory)), CASES[name], folder / "a.arrow"
    if case.sql:
        here.transform(engine, store(folder, StoreOptions()), case.sql, {"t": folder / "t.arrow"}, output)
    print(engine.identify(output if case.sql else folder / "t.arrow").hash, flush=True)


class Held:
    """The most memory (bytes no file stands behind) that a process held, and the most that is in a folder; kills the process beyond `limit`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, limit: int) -> None:
        self.process, self.folder, self.limit = process, folder, limit
        self.memory = self.disk = 0
        self.killed = False
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self) -> None:
        last = 0.0
        while self.process.poll() is None:
            try:
                text = Path(f"/proc/{self.process.pid}/status").read_text()
                self.memory = max(self.memory, int(text.partition("RssAnon:")[2].split()[0]) * 1024)
            except (OSError, IndexError):
                break
            if self.memory > self.limit:
                self.killed = True
                self.process.kill()
            if time.monotonic() - last > 1:
                last = time.monotonic()
                self.disk = max(self.disk, used(self.folder))
            time.sleep(_EVERY)


def used(folder: Path) -> int:
    """Bytes of the blocks that a folder's files have on the disk."""
    total = 0
    for each in folder.rglob("*"):
        try:
            total += each.stat().st_blocks * 512
        except OSError:  # gone meanwhile
            continue
    return total


def ordered(file: Path, keys: list[str]) -> bool:
    """True when the rows are in the order of these columns; a batch at a time."""
    last: tuple[object, ...] = ()
    with pa.memory_map(str(file)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number).select(keys)
            first = tuple(column[0].as_py() for column in batch.columns)
            again = batch.sort_by([(key, "ascending") for key in keys])
            if (last and first < last) or not again.equals(batch):
                return False
            last = tuple(column[-1].as_py() for column in batch.columns)
    return True


def right(folder: Path, name: str) -> bool:
    """The answer against what is known of it, with all the machine's memory."""
    import duckdb

    case, connection = CASES[name], duckdb.connect(config={"temp_directory": str(folder / "check")})
    for table in ("t", "a"):
        with pa.memory_map(str(folder / f"{table}.arrow")) as source:
            connection.register(table, pa.ipc.open_file(source).read_all())
    (found,) = connection.execute(case.check).fetchone() or (False,)
    return bool(found) and (not case.sorted_by or ordered(folder / "a.arrow", case.sorted_by.split(", ")))


def one(folder: Path, name: str, memory: str, limit: int) -> str:
    """A line about one query."""
    start = time.monotonic()
    words = [sys.executable, __file__, "--step", name, "--memory", memory, "--folder", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    held = Held(process, folder, limit)
    identity, trouble = process.communicate()
    held.thread.join()
    seconds = time.monotonic() - start
    table = (folder / "t.arrow").stat().st_size
    said = f"{name:<16} {seconds:7.1f} s  memory {held.memory / 1e9:5.2f} GB  disk {(held.disk - table) / 1e9:5.1f} GB beside the table"
    if process.returncode:
        why = "killed: over the budget" if held.killed else (trouble.strip().splitlines() or ["it died"])[-1][:160]
        return f"MISS {said}  {why}"
    if name == "hash":
        return f"ok   {said}  {table / 1e9 / seconds:.2f} GB/s with the start of the process"
    same = name not in ("sort", "distinct, wide") or identity == _identity(folder)
    fine = same and right(folder, name)
    return f"{'ok  ' if fine else 'MISS'} {said}  {'right' if fine else 'a wrong answer'}"


def _identity(folder: Path) -> str:
    words = [sys.executable, __file__, "--step", "hash", "--memory", "4GB", "--folder", str(folder)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Make the table, ask, remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="which (default: all)")
    parser.add_argument("--gb", type=float, default=10, help="size of the table, in 10^9 bytes")
    parser.add_argument("--memory", default="2GB", help="memory_limit, and what a process may hold")
    parser.add_argument("--folder", type=Path, help="where (default: a temporary folder)")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        step(asked.folder, asked.step, asked.memory)
        return
    print(measure.machine())
    limit = int(
        float(asked.memory.removesuffix("GB").removesuffix("MB")) * (1e9 if asked.memory.endswith("GB") else 1e6)
    )
    folder = Path(tempfile.mkdtemp(prefix="payoff-larger-", dir=asked.folder))
    try:
        start = time.monotonic()
        file = make(folder, asked.gb * 1e9)
        print(f"a table of {file.stat().st_size / 1e9:.2f} GB, made in {time.monotonic() - start:.0f} s", flush=True)
        for name in asked.name or list(CASES):
            print(one(folder, name, asked.memory, limit), flush=True)
            (folder / "a.arrow").unlink(missing_ok=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
