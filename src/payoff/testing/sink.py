"""The contract suite of sinks.

Inherit it in a test file, name the adapter, and say where the sink writes to and how another program reads it there; pytest does the rest:

    class TestMySink(SinkSuite):
        adapter = "payoff.sinks:mine"

        def options(self, root, name): ...        # the options that lead to a place of that name
        def look(self, root, name): ...           # the rows that are there, as dicts, by other means than the sink's
        def spoil(self, root, name): ...          # change what is there, as somebody else would
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base import hashing
from payoff.base.errors import PayoffError, UserError
from payoff.records.artifact import Artifact, Field
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from payoff.ports.sink import Sink
    from payoff.records.artifact import Written

_CHILD = """
import pickle, sys
from pathlib import Path
from payoff.testing import sink
adapter, name, root, options, rows, salt, slow = pickle.load(sys.stdin.buffer)
table = sink.people(rows, salt)
made = sink.connect(adapter, name, Path(root), options)
print("ready", flush=True)
made.write(sink.reader(table, pause=slow), sink.artifact(table))
print("done", flush=True)
"""


def connect(adapter: str, name: str, root: Path, options: dict[str, Any]) -> Sink:
    """The sink that an entry point `group:name` leads to."""
    group, _, kind = adapter.partition(":")
    module: Any = entry_points.load(group, kind)
    sink: Sink = module.connect(name, module.Options(**options), root)
    return sink


def people(rows: int = 4, salt: int = 0) -> pa.Table:
    """All plain types, text beyond ASCII with quotes and line ends, missing values in each column but the first."""
    import pyarrow as pa

    def maybe(value: Any, n: int) -> Any:
        return None if n % 4 == 3 else value

    texts = ['He said "no", twice', "Größe\n数\t\\N", "", "x"]
    instant = dt.datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=dt.UTC)
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "amount": pa.array([maybe(n + salt + 0.25, n) for n in range(rows)], pa.float64()),
            "text": pa.array([maybe(texts[n % 4], n) for n in range(rows)], pa.string()),
            "yes": pa.array([maybe(n % 2 == 0, n) for n in range(rows)], pa.bool_()),
            "day": pa.array([maybe(dt.date(2026, 1, 1 + n % 28), n) for n in range(rows)], pa.date32()),
            "at": pa.array([maybe(instant, n) for n in range(rows)], pa.timestamp("us", "UTC")),
            "local": pa.array([maybe(instant.replace(tzinfo=None), n) for n in range(rows)], pa.timestamp("us")),
            "money": pa.array([maybe(Decimal(f"{n}.10"), n) for n in range(rows)], pa.decimal128(12, 2)),
        }
    )


def artifact(table: pa.Table) -> Artifact:
    """A record of a table; its id is of its rows whatever their order."""
    rows = sorted(str(row) for row in table.to_pylist())
    fields = tuple(Field(each.name, str(each.type)) for each in table.schema)
    return Artifact(
        id=hashing.of_json([rows, [str(each) for each in fields]]),
        kind="table",
        file="tables/x.arrow",
        bytes=1,
        rows=table.num_rows,
        fields=fields,
    )


def reader(table: pa.Table, pause: float = 0.0, size: int = 1000) -> pa.RecordBatchReader:
    """The table in batches; `pause` seconds before each of them."""
    import pyarrow as pa

    def batches() -> Any:
        for batch in table.to_batches(size):
            time.sleep(pause)
            yield batch

    return pa.RecordBatchReader.from_batches(table.schema, batches())


class SinkSuite:
    """What every sink does."""

    adapter: ClassVar[str] = ""
    # What a log of messages cannot do: hold nothing but the newest table, tell who else wrote to it, be whole or not at all.
    replaces: ClassVar[bool] = True
    notices: ClassVar[bool] = True
    kill_rows: ClassVar[int] = 20_000

    def options(self, root: Path, name: str) -> dict[str, Any]:
        """The options of a sink of that name."""
        raise NotImplementedError

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        """The rows that are there, in any order; values as Python has them, or as the sink says that it writes them."""
        raise NotImplementedError

    def spoil(self, root: Path, name: str) -> None:
        """Change what is there, as somebody else would."""
        raise NotImplementedError

    def plain(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of ours as `look` shows it; override where a sink writes a type as another."""
        return row

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A project's folder with a space and letters beyond ASCII."""
        folder = tmp_path / "mein Prüfstand 数"
        folder.mkdir()
        return folder

    def sink(self, root: Path, name: str = "people") -> Sink:
        """A sink of that name."""
        return connect(self.adapter, name, root, self.options(root, name))

    def put(self, sink: Sink, table: pa.Table) -> Written:
        """Write a table."""
        with reader(table) as rows:
            return sink.write(rows, artifact(table))

    def holds(self, root: Path, *tables: pa.Table, name: str = "people") -> bool:
        """Whether exactly these rows are there, each once."""
        wanted = [self.plain(row) for table in tables for row in table.to_pylist()]
        return sorted(map(str, self.look(root, name))) == sorted(map(str, wanted))

    def test_rows_arrive_as_they_are(self, root: Path) -> None:
        table = people()
        answer = self.put(self.sink(root), table)
        assert (answer.identity, answer.rows, answer.already) == (artifact(table).id, 4, False)
        assert sorted(map(str, self.look(root, "people"))) == sorted(str(self.plain(row)) for row in table.to_pylist())

    def test_nothing_is_there_at_first(self, root: Path) -> None:
        assert self.sink(root).written() is None

    def test_what_is_there_is_known_again(self, root: Path) -> None:
        self.put(self.sink(root), people())
        assert self.sink(root).written() == artifact(people()).id

    def test_the_same_table_again_is_there_once(self, root: Path) -> None:
        self.put(self.sink(root), people())
        again = self.put(self.sink(root), people())
        assert again.already
        assert again.rows == 4
        assert self.holds(root, people())

    def test_another_table_takes_its_place(self, root: Path) -> None:
        self.put(self.sink(root), people())
        assert not self.put(self.sink(root), people(6, salt=9)).already
        assert self.sink(root).written() == artifact(people(6, salt=9)).id
        others = () if self.replaces else (people(),)
        assert self.holds(root, *others, people(6, salt=9))

    def test_a_table_that_comes_back_is_there(self, root: Path) -> None:
        if not self.replaces:
            pytest.skip("this sink keeps all that it ever got")
        for rows in (4, 5, 4):
            self.put(self.sink(root), people(rows))
        assert self.holds(root, people(4))

    def test_other_columns_take_the_place_of_the_old(self, root: Path) -> None:
        if not self.replaces:
            pytest.skip("this sink keeps all that it ever got")
        self.put(self.sink(root), people())
        narrow = people(3).select(["id", "text"])
        self.put(self.sink(root), narrow)
        assert self.holds(root, narrow)

    def test_an_empty_table_has_no_rows(self, root: Path) -> None:
        empty = people().slice(0, 0)
        assert self.put(self.sink(root), empty).rows == 0
        assert self.look(root, "people") == []
        assert self.sink(root).written() == artifact(empty).id

    def test_what_somebody_changed_is_noticed_and_put_back(self, root: Path) -> None:
        if not self.notices:
            pytest.skip("this sink cannot tell who else wrote there")
        self.put(self.sink(root), people())
        self.spoil(root, "people")
        assert self.sink(root).written() is None
        assert not self.put(self.sink(root), people()).already
        assert self.holds(root, people())

    def test_it_says_where_it_is_and_no_secret(self, root: Path) -> None:
        described = self.sink(root).describe()
        assert described["kind"] == self.adapter.partition(":")[2]
        assert described["address"]
        assert "geheim" not in str(described)

    def test_a_column_that_cannot_be_held_is_named_before_anything_is_written(self, root: Path) -> None:
        import pyarrow as pa

        self.put(self.sink(root), people())
        odd = pa.table({"id": [1, 2], "odd one": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))})
        refused: UserError | None = None
        try:
            self.put(self.sink(root), odd)
        except UserError as error:
            refused = error
        if refused is None:
            assert len(self.look(root, "people")) == (2 if self.replaces else 6)
        else:
            assert "odd one" in refused.what
            assert refused.code == "PO-N001"
            assert self.holds(root, people())

    def test_a_reader_that_fails_leaves_the_old_table(self, root: Path) -> None:
        import pyarrow as pa

        self.put(self.sink(root), people())
        table = people(3000, salt=5)

        def batches() -> Any:
            yield from table.to_batches(1000)[:2]
            raise OSError(5, "Input/output error")

        with pytest.raises((PayoffError, OSError)):
            self.sink(root).write(pa.RecordBatchReader.from_batches(table.schema, batches()), artifact(table))
        if self.replaces:
            assert self.holds(root, people())
        self.put(self.sink(root), table)
        assert self.holds(root, *(() if self.replaces else (people(),)), table)

    def child(self, root: Path, rows: int, salt: int, slow: float = 0.0) -> subprocess.Popen[bytes]:
        """Another process that writes."""
        import pickle

        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin
        assert process.stdout
        task = (self.adapter, "people", str(root), self.options(root, "people"), rows, salt, slow)
        process.stdin.write(pickle.dumps(task))
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline() == b"ready\n"
        return process

    def test_a_kill_leaves_one_table_and_the_next_write_mends_it(self, root: Path) -> None:
        self.put(self.sink(root), people(50))
        self.kill(root, people(50), after=0.2)

    def kill(self, root: Path, old: pa.Table, *, after: float) -> None:
        """End a writer so many seconds after its start; `old` is there before it."""
        new = people(self.kill_rows, salt=7)
        process = self.child(root, self.kill_rows, 7, slow=0.02)
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.communicate()
        if self.replaces:
            deadline = time.monotonic() + 10  # a server may need a moment to see that its client is gone
            while not (self.holds(root, old) or self.holds(root, new)):
                assert time.monotonic() < deadline, "neither the old nor the new table is there"
                time.sleep(0.05)
        self.put(self.sink(root), new)
        assert self.holds(root, *(() if self.replaces else (old,)), new)
        assert self.sink(root).written() == artifact(new).id

    def test_two_writers_at_once_do_not_mix(self, root: Path) -> None:
        one, two = people(3000, salt=1), people(2000, salt=2)
        errors: list[BaseException] = []

        def go(table: pa.Table) -> None:
            try:
                with reader(table, pause=0.005) as rows:
                    self.sink(root).write(rows, artifact(table))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=go, args=(table,)) for table in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        if self.replaces:
            assert self.holds(root, one) or self.holds(root, two)
        else:
            assert self.holds(root, one, two)

    def test_two_writers_of_one_table_leave_it_once(self, root: Path) -> None:
        table = people(2000, salt=3)
        process = self.child(root, 2000, 3, slow=0.01)
        with reader(table, pause=0.01) as rows:
            self.sink(root).write(rows, artifact(table))
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert self.sink(root).written() == artifact(table).id
        assert self.holds(root, table)
