"""The local store keeps what every store promises, gives equal tables one id, and says so when the disk is full."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from payoff.base.errors import OutsideError
from payoff.records.artifact import Artifact
from payoff.testing import engine as engines
from payoff.testing.store import TABLE, StoreSuite, connect, identity, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ADAPTER = "payoff.stores:local"
_SAME_TABLE = """
import pathlib, sys
import pyarrow as pa
from payoff.testing import engine, store
root = pathlib.Path(sys.argv[1])
engine, store = engine.connect("payoff.engines:duckdb", root), store.connect("payoff.stores:local", root)
sys.stdin.readline()
for number in range(20):
    table = pa.table({"id": range(50_000), "number": [number] * 50_000})
    file = store.scratch("t")
    engine.write(pa.RecordBatchReader.from_batches(table.schema, table.to_batches(int(sys.argv[2]))), file)
    artifact = store.put_table(file, engine.identify(file))
    print(artifact.id, pa.ipc.open_file(str(store.path(artifact))).read_all().num_rows)
"""


class TestLocalStore(StoreSuite):
    adapter = "payoff.stores:local"


def kept(root: Path, table: pa.Table, batch: int | None = None) -> Artifact:
    """A table, written just as it is and put into the store under what DuckDB says of it."""
    store = connect(ADAPTER, root)
    file = store.scratch("t")
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, batch)
    return store.put_table(file, engines.connect("payoff.engines:duckdb", root).identify(file))


def versions(root: Path) -> list[Path]:
    return [path for path in root.rglob("*.arrow") if "scratch" not in path.parts]


def test_equal_tables_get_one_id_however_they_are_kept(tmp_path: Path) -> None:
    """The engine's identity and the store's id agree: order, batches, dictionaries and lengths of offsets are not content."""
    plain = pa.table({"id": list(range(1000)), "text": [f"t{n % 7}" if n % 5 else None for n in range(1000)]})
    first = kept(tmp_path, plain)
    others = [kept(tmp_path, plain.take(list(range(1000))[::-1])), kept(tmp_path, plain, batch=17)]
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        others.append(kept(tmp_path, plain.set_column(1, "text", plain["text"].cast(kind))))
    assert {each.id for each in others} == {first.id}
    assert {each.fields for each in others} == {first.fields}
    assert len(versions(tmp_path)) == 1


def test_unlike_tables_get_ids_of_their_own(tmp_path: Path) -> None:
    number = pa.float64()
    tables = [pa.table({"a": pa.array(v, number)}) for v in ([None], [float("nan")], [0.0], [0.0, 0.0], [])]
    tables += [pa.table({"a": pa.array(v, pa.string())}) for v in ([None], [""], ["", ""], ["NaN"], [])]
    tables += [pa.table({"a": [1]}), pa.table({"a": pa.array([1], pa.int32())}), pa.table({"b": [1]}), pa.table({})]
    assert len({kept(tmp_path, table).id for table in tables}) == len(tables) == len(versions(tmp_path))


def test_two_processes_put_equal_tables_at_the_same_moment(tmp_path: Path) -> None:
    """One writes large batches, one small: the files are of different sizes, the content is one."""
    words = [sys.executable, "-c", _SAME_TABLE, str(tmp_path)]
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen([*words, batch], stdin=pipe, stdout=pipe, stderr=pipe, text=True) for batch in ("1000", "9000")
    ]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert said[0][0].count(" 50000\n") == len(versions(tmp_path)) == 20


def test_scratch_paths_of_many_threads_are_all_different(tmp_path: Path) -> None:
    store = connect(ADAPTER, tmp_path)
    with ThreadPoolExecutor(16) as pool:
        paths = set(pool.map(lambda _: store.scratch("same"), range(2000)))
    assert len(paths) == 2000
    assert len({path.parent for path in paths}) == 1


def test_scratch_of_a_killed_process_is_cleaned_up(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, os; from payoff.testing.store import connect;"
        "connect('payoff.stores:local', pathlib.Path(sys.argv[1])).scratch('half').write_bytes(b'x' * 100_000);"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert len(list(tmp_path.rglob("*half"))) == 1
    living = connect(ADAPTER, tmp_path).scratch("living")
    living.write_bytes(b"x")
    connect(ADAPTER, tmp_path).scratch("another")
    assert not list(tmp_path.rglob("*half"))
    assert living.exists()


def test_a_record_leads_to_no_file_outside_the_store(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    store = connect(ADAPTER, tmp_path)
    put(store, "a")
    artifact = Artifact(id="a", kind="table", file="../../secret", bytes=1)
    assert not store.has(artifact)
    with pytest.raises(Exception, match="leaves its folder"):
        store.path(artifact)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".payoff").write_text("a file where the folder should be")
    with pytest.raises(OutsideError) as caught:
        connect(ADAPTER, tmp_path).scratch("a")
    assert caught.value.code == "PO-T003"
    assert str(tmp_path) in caught.value.what


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a disk of some size (`size=2m`, `nr_inodes=20`)."""
    folder = tmp_path / "tiny"
    folder.mkdir()

    def mount(options: str) -> Path:
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small disk")
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_loses_nothing(tiny: Callable[[str], Path]) -> None:
    root = tiny("size=2m")
    table = pa.table({"id": list(range(50_000))})
    first = kept(root, table)
    store, engine = connect(ADAPTER, root), engines.connect("payoff.engines:duckdb", root)
    with pytest.raises(OutsideError, match="MB free") as caught:
        for number in range(100):
            file, other = store.scratch("more"), pa.table({"id": list(range(number, 50_000))})
            engine.write(pa.RecordBatchReader.from_batches(other.schema, other.to_batches()), file)
            store.put_table(file, engine.identify(file))
    assert caught.value.code == "PO-E005"
    assert str(root) in caught.value.what
    for path in versions(root):
        assert pa.ipc.open_file(str(path)).read_all().num_rows > 0
    assert store.has(first)
    assert engine.query("select count(*) as n from t", {"t": store.path(first)}).to_pylist() == [{"n": 50_000}]
    assert not list(root.rglob("*.part"))


def test_a_disk_that_takes_no_more_folders_loses_nothing(tiny: Callable[[str], Path]) -> None:
    root = tiny("size=2m,nr_inodes=30")
    store = connect(ADAPTER, root)
    file = store.scratch("first")
    file.write_bytes(TABLE)
    first = store.put_table(file, identity("first"))
    file = store.scratch("more")
    file.write_bytes(TABLE)
    with pytest.raises(OSError, match="No space"):
        for number in range(40):
            (root / f"{number}").mkdir()
    with pytest.raises(OutsideError, match="MB free") as caught:
        store.put_table(file, identity("more"))
    assert caught.value.code == "PO-T002"
    assert str(root) in caught.value.what
    assert store.path(first).read_bytes() == TABLE
    for number in range(5):
        (root / f"{number}").rmdir()
    assert store.has(store.put_table(file, identity("more")))
