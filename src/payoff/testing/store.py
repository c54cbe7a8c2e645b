"""The contract suite of stores.

Inherit it in a test file and name the adapter; pytest does the rest:

    class TestMyStore(StoreSuite):
        adapter = "payoff.stores:mine"
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import OutsideError, UserError
from payoff.ports.store import was
from payoff.records.artifact import Field, Identity
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.store import Store

# The bytes of a table matter to no store: what begins and ends like an Arrow file is one.
TABLE = b"ARROW1\0\0" + b"rows" * 1000 + b"ARROW1"
_WRITER = """
import pathlib, sys
from payoff.testing.store import connect, put
store = connect(sys.argv[1], pathlib.Path(sys.argv[2]))
number = 0
while True:
    put(store, f"{sys.argv[3]}-{number}", size=200_000)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def connect(adapter: str, root: Path) -> Store:
    """The store that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    store: Store = module.connect(root, module.Options())
    return store


def identity(name: str, rows: int = 3) -> Identity:
    """What an engine would say of a table; equal names are equal content."""
    return Identity(hash=name, rows=rows, fields=(Field("id", "int64"), Field("text", "string")))


def put(store: Store, name: str, data: bytes = TABLE, size: int = 0) -> str:
    """Put a table; answers its id."""
    file = store.scratch(name)
    file.write_bytes(data + b"x" * size + b"ARROW1" if size else data)
    return store.put_table(file, identity(name)).id


class StoreSuite:
    """What every store does."""

    adapter: ClassVar[str] = ""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """A store with nothing in it."""
        return self.open(tmp_path)

    def open(self, root: Path) -> Store:
        """Another connection to the store of the project in `root`."""
        return connect(self.adapter, root)

    def test_what_is_put_can_be_read(self, store: Store) -> None:
        file = store.scratch("table")
        file.write_bytes(TABLE)
        artifact = store.put_table(file, identity("a"))
        assert store.path(artifact).read_bytes() == TABLE
        assert (artifact.kind, artifact.rows, artifact.columns) == ("table", 3, ("id", "text"))
        assert store.has(artifact)
        assert not file.exists()

    def test_objects_are_named_by_their_bytes(self, store: Store) -> None:
        made = []
        for data in (b"one", b"two", b"one"):
            file = store.scratch("model")
            file.write_bytes(data)
            made.append(store.put_object(file, "some.Model"))
        assert made[0].id == made[2].id != made[1].id
        assert [store.path(each).read_bytes() for each in made] == [b"one", b"two", b"one"]

    def test_the_same_content_is_stored_once(self, store: Store, tmp_path: Path) -> None:
        first, size = put(store, "a"), self.size(tmp_path)
        assert put(store, "a") == first
        assert self.size(tmp_path) == size

    def test_the_same_rows_in_a_file_of_another_size_do_not_replace_the_first(self, store: Store) -> None:
        file = store.scratch("a")
        file.write_bytes(TABLE)
        first = store.put_table(file, identity("a"))
        again = store.scratch("a")
        again.write_bytes(TABLE[:-6] + b"padding" + TABLE[-6:])
        second = store.put_table(again, identity("a"))
        assert second.id == first.id
        assert store.path(first) == store.path(second)

    def test_other_columns_are_another_version(self, store: Store) -> None:
        file = store.scratch("a")
        file.write_bytes(TABLE)
        other = Identity(hash="a", rows=3, fields=(Field("id", "int64"),))
        assert store.put_table(file, other).id != put(store, "a")

    def test_old_versions_stay(self, store: Store, tmp_path: Path) -> None:
        file = store.scratch("old")
        file.write_bytes(TABLE)
        old = store.put_table(file, identity("old"))
        for number in range(5):
            put(store, f"new{number}")
        assert self.open(tmp_path).path(old).read_bytes() == TABLE

    def test_what_is_gone_or_cut_is_said(self, store: Store) -> None:
        file = store.scratch("a")
        file.write_bytes(TABLE)
        artifact = store.put_table(file, identity("a"))
        path = store.path(artifact)
        path.chmod(0o644)
        path.write_bytes(TABLE[:50])
        assert not store.has(artifact)
        with pytest.raises(OutsideError, match="damaged"):
            store.path(artifact)
        put(store, "a")
        assert store.has(artifact)
        path.unlink()
        with pytest.raises(OutsideError, match="gone"):
            store.path(artifact)

    def test_what_is_erased_is_gone_with_the_reason_until_it_comes_again(self, store: Store, tmp_path: Path) -> None:
        if not hasattr(store, "erase"):
            pytest.skip("this store does not forget")
        file = store.scratch("a")
        file.write_bytes(TABLE)
        artifact = store.put_table(file, identity("a"))
        put(store, "b")
        with store.path(artifact).open("rb") as reading:
            assert store.erase(artifact, "erased for a test") == len(TABLE)
            assert reading.read() == TABLE
        other = self.open(tmp_path)
        assert not other.has(artifact)
        assert was(other, artifact) == "was erased for a test"
        with pytest.raises(UserError, match="erased for a test"):
            other.path(artifact)
        assert store.erase(artifact, "again") == 0
        put(store, "a")
        assert store.has(artifact)
        assert was(store, artifact) == "is no longer in the store"

    def test_names_lead_nowhere_else(self, store: Store, tmp_path: Path) -> None:
        for name in ("../../x", "/etc/x", "a b/ü", "x" * 300, ""):
            file = store.scratch(name)
            file.write_bytes(TABLE)
            assert tmp_path in file.resolve().parents

    def test_a_kill_leaves_only_whole_versions(self, store: Store, tmp_path: Path) -> None:
        """Killed in the middle of writing, five times over."""
        for writer in range(5):
            words = [sys.executable, "-c", _WRITER, self.adapter, str(tmp_path), str(writer)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                last = int(process.stdout.readline())
                time.sleep(0.03)
                process.kill()
                last = max([last, *(int(line) for line in process.stdout.read().split())])
            assert put(self.open(tmp_path), f"{writer}-{last}") == put(store, f"{writer}-{last}")
        for path in tmp_path.rglob("*.arrow"):
            if "scratch" not in path.parts:
                assert path.stat().st_size > 200_000
                assert path.read_bytes().endswith(b"ARROW1")

    def test_two_processes_put_the_same(self, store: Store, tmp_path: Path) -> None:
        words = [sys.executable, "-c", _WRITER, self.adapter, str(tmp_path), "same"]
        processes = [
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                for _ in range(20):
                    assert process.stdout.readline()
        finally:
            for process in processes:
                process.kill()
                process.communicate()
        assert put(store, "same-3") == put(self.open(tmp_path), "same-3")

    def size(self, root: Path) -> int:
        """Bytes of all files under a folder."""
        return sum(os.path.getsize(path) for path in root.rglob("*") if path.is_file())
