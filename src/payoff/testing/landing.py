"""The contract suite of landings.

Inherit it in a test file and name the adapter; pytest does the rest:

    class TestMyLanding(LandingSuite):
        adapter = "payoff.landings:mine"
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

from payoff.base.errors import UserError
from payoff.records.stream import Arrival, LandingState, Lost, Poison
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.landing import Landing

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("text", pa.string()),
        ("_partition", pa.string()),
        ("_offset", pa.int64()),
        ("_time", pa.timestamp("us", "UTC")),
        ("_key", pa.string()),
    ]
)
# Lands batch after batch of two partitions, each after the state it finds; says each transaction's number when it is through.
_WRITER = """
import pathlib, sys
from payoff.testing.landing import arrival, connect
landing = connect(sys.argv[1], pathlib.Path(sys.argv[2]))
while True:
    state = landing.state("t")
    begin = state.positions.get("a", 0)
    after = landing.commit("t", state.commit, arrival(begin, begin + 20))
    if after is not None:
        sys.stdout.write(f"{after.positions['a']}\\n")
        sys.stdout.flush()
        if after.commit % 7 == 0:
            landing.tidy("t")
"""


# Removes what is older than a time.
_REMOVER = """
import pathlib, sys
from payoff.testing.landing import connect
landing = connect(sys.argv[1], pathlib.Path(sys.argv[2]))
landing.state("t")
sys.stdout.write("ready\\n")
sys.stdout.flush()
landing.expire("t", int(sys.argv[3]))
"""


def connect(adapter: str, root: Path) -> Landing:
    """The landing that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    landing: Landing = module.connect(root, module.Options())
    return landing


def rows(begin: int, end: int) -> pa.Table:
    """Rows of two partitions, mixed; their ids are the offsets in both."""
    places = [(partition, offset) for offset in range(begin, end) for partition in ("a", "b")]
    made = [
        {"id": o, "text": f"{p}{o}", "_partition": p, "_offset": o, "_time": 1_700_000_000_000_000 + o, "_key": None}
        for p, o in places
    ]
    return pa.Table.from_pylist(made, schema=SCHEMA)


def arrival(begin: int, end: int, **more: Any) -> Arrival:
    """What lands of two partitions from one offset up to another."""
    return Arrival(rows=rows(begin, end), positions={"a": end, "b": end}, stream="test: t", **more)


def committed(landing: Landing, state: LandingState, what: Arrival) -> LandingState:
    """The state after a transaction that nobody disturbs."""
    after = landing.commit("t", state.commit, what)
    assert after is not None
    return after


def offsets(landing: Landing) -> list[tuple[str, int]]:
    """Where all rows were, in the order that they are handed out."""
    _, batches = landing.open("t", SCHEMA)
    found = pa.Table.from_batches(list(batches), SCHEMA)
    return list(zip(found["_partition"].to_pylist(), found["_offset"].to_pylist(), strict=True))


def whole(end: int) -> list[tuple[str, int]]:
    """All rows up to an offset: partition after partition."""
    return [(partition, offset) for partition in ("a", "b") for offset in range(end)]


class LandingSuite:
    """What every landing does."""

    adapter: ClassVar[str] = ""

    @pytest.fixture
    def landing(self, tmp_path: Path) -> Landing:
        """A landing with nothing in it."""
        return connect(self.adapter, tmp_path)

    def test_nothing_has_landed_at_first(self, landing: Landing) -> None:
        assert landing.state("t") == LandingState()
        assert offsets(landing) == []

    def test_rows_and_positions_come_together(self, landing: Landing, tmp_path: Path) -> None:
        state = committed(landing, LandingState(), arrival(0, 10))
        assert (state.commit, state.rows, state.positions) == (1, 20, {"a": 10, "b": 10})
        assert connect(self.adapter, tmp_path).state("t") == state
        assert offsets(landing) == whole(10)

    @pytest.mark.parametrize("step", [1, 7, 100])
    def test_rows_come_in_the_same_order_whatever_the_batches(self, landing: Landing, step: int) -> None:
        state = LandingState()
        for begin in range(0, 100, step):
            state = committed(landing, state, arrival(begin, min(begin + step, 100)))
            if begin % 30 == 0:
                landing.tidy("t")
        landing.tidy("t")
        assert offsets(landing) == whole(100)
        assert landing.state("t").segments < 50

    def test_of_two_writers_one_comes_first(self, landing: Landing) -> None:
        state = committed(landing, LandingState(), arrival(0, 10))
        committed(landing, state, arrival(10, 20))
        assert landing.commit("t", state.commit, arrival(10, 30)) is None
        assert offsets(landing) == whole(20)

    def test_what_is_open_stays_as_it_was(self, landing: Landing) -> None:
        state = LandingState()
        for number in range(40):
            state = committed(landing, state, arrival(number, number + 1))
        then, batches = landing.open("t", SCHEMA)
        committed(landing, state, arrival(40, 50))
        landing.tidy("t")
        assert then.rows == 80
        assert sum(batch.num_rows for batch in batches) == 80

    def test_what_was_set_aside_and_lost_is_kept_with_its_bytes(self, landing: Landing) -> None:
        bad = Poison(partition="a", offset="7", reason="it is no object", payload=b"\xff\x00", time=5, key="k")
        gone = Lost(partition="b", since="3", until="9", why="removed", messages=6)
        state = committed(landing, LandingState(), arrival(0, 5, set_aside=(bad,), lost=(gone,)))
        assert (state.set_aside, state.lost) == (1, (gone,))
        assert landing.set_aside("t") == [bad]

    def test_positions_move_without_rows(self, landing: Landing) -> None:
        empty = Arrival(rows=rows(0, 0), positions={"a": 9}, stream="test: t")
        assert committed(landing, LandingState(), empty).positions == {"a": 9}
        assert offsets(landing) == []

    def test_a_column_that_came_later_is_null_before(self, landing: Landing) -> None:
        committed(landing, LandingState(), arrival(0, 3))
        _, batches = landing.open("t", SCHEMA.append(pa.field("new", pa.float64())))
        assert [value for batch in batches for value in batch["new"].to_pylist()] == [None] * 6

    def test_a_column_of_another_type_is_refused(self, landing: Landing) -> None:
        committed(landing, LandingState(), arrival(0, 3))
        with pytest.raises(UserError, match="text"):
            landing.open("t", pa.schema([("text", pa.int64())]))

    def test_what_is_too_old_is_removed_and_the_rest_stays(self, landing: Landing, tmp_path: Path) -> None:
        """Whole files, a part of one, messages set aside; positions stay, and who reads reads on."""
        if not (hasattr(landing, "expire") and hasattr(landing, "older")):
            pytest.skip("this landing does not forget")
        old = Poison(partition="a", offset="1", reason="no object", payload=b"MARKED", time=1_700_000_000_000_001)
        state = committed(landing, LandingState(), arrival(0, 10, set_aside=(old,)))
        state = committed(landing, state, arrival(10, 20))
        _, reading = landing.open("t", SCHEMA)
        before = 1_700_000_000_000_014
        assert landing.older("t", before) == (29, 1_700_000_000_000_000)
        assert landing.older("other", before) == (0, None)
        assert landing.expire("t", before) == 29
        assert offsets(landing) == [(partition, offset) for partition in ("a", "b") for offset in range(14, 20)]
        after = landing.state("t")
        assert (after.positions, after.commit, after.rows, after.set_aside, after.expired) == (
            state.positions,
            2,
            12,
            0,
            1,
        )
        assert sum(batch.num_rows for batch in reading) == 40
        assert landing.expire("t", before) == 0
        assert connect(self.adapter, tmp_path).state("t") == after
        landing.tidy("t")
        assert not any(b"MARKED" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        committed(landing, after, arrival(20, 30))
        assert landing.state("t").rows == 32

    def test_a_kill_while_removing_leaves_all_or_nothing_of_it(self, landing: Landing, tmp_path: Path) -> None:
        """Killed at another moment each time; what is read then is what was there before, or what is to stay."""
        if not hasattr(landing, "expire"):
            pytest.skip("this landing does not forget")
        state = LandingState()
        for begin in range(0, 600, 20):
            state = committed(landing, state, arrival(begin, begin + 20))
        wanted = [whole(600)]
        for kill in range(6):
            cut = 50 + 90 * kill
            wanted.append([each for each in whole(600) if each[1] >= cut])
            words = [sys.executable, "-c", _REMOVER, self.adapter, str(tmp_path), str(1_700_000_000_000_000 + cut)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(0.002 * kill)
                process.kill()
            found = offsets(landing)
            assert found in wanted[-2:]
            wanted = [found]
        landing.expire("t", 1_700_000_000_000_590)
        landing.tidy("t")
        assert offsets(landing) == [each for each in whole(600) if each[1] >= 590]
        files = [path for path in tmp_path.rglob("*") if path.suffix in {".arrow", ".part"}]
        assert len(files) == landing.state("t").segments

    def test_tables_do_not_disturb_each_other(self, landing: Landing) -> None:
        committed(landing, LandingState(), arrival(0, 3))
        assert landing.state("other") == LandingState()

    def test_two_processes_at_once_double_and_lose_nothing(self, landing: Landing, tmp_path: Path) -> None:
        self.killed(landing, tmp_path, kills=2, writers=2, seconds=0.6)

    def test_a_kill_leaves_whole_transactions(self, landing: Landing, tmp_path: Path) -> None:
        self.killed(landing, tmp_path, kills=4, writers=1, seconds=0.15)

    def killed(self, landing: Landing, root: Path, *, kills: int, writers: int, seconds: float) -> None:
        """Writers are killed again and again; what they said is there, each row once, no file is left behind."""
        words = [sys.executable, "-c", _WRITER, self.adapter, str(root)]
        said = 0
        for _ in range(kills):
            processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(writers)]
            for process in processes:
                assert process.stdout is not None
                said = max(said, int(process.stdout.readline() or 0))
            time.sleep(seconds)
            for process in processes:
                process.kill()
            for process in processes:
                lines = process.communicate()[0].split()
                said = max([said, *(int(line) for line in lines)])
            end = landing.state("t").positions["a"]
            assert end >= said > 0
            assert offsets(landing) == whole(end)
        landing.tidy("t")
        assert offsets(landing) == whole(landing.state("t").positions["a"])
        files = [path for path in root.rglob("*") if path.suffix in {".arrow", ".part"}]
        assert len(files) == landing.state("t").segments
