"""The log of predictions: when a segment ends, what becomes of it, how long it stays, and that nobody waits for the disk. The clock is set by hand."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payoff.records.artifact import Field
from payoff.records.contract import Column
from payoff.records.project import Step
from payoff.records.serving.served import InputColumn, LogRule, Served
from payoff.serving import log as logs
from payoff.execute.logged import segments
from payoff.testing.samples import sample_charter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR, DAY = 3600.0, 86400.0
ROWS = pa.schema([("tenure", pa.int64())])


class Hands:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0  # seconds since 1970

    def clock(self) -> logs.Clock:
        return logs.Clock(seconds=lambda: self.at, now=lambda: round(self.at * 1e6))


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """The folder of a version, beside those of others."""
    folder = tmp_path / "log" / "v"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def hands() -> Hands:
    return Hands()


class Kept(logs.Log):
    """A log whose threads do not run by themselves: `tended` is what they do in a second."""

    def start(self) -> None:
        self._threads = []
        super().start()

    def tended(self) -> None:
        self.force()
        self.tend()


@pytest.fixture
def opened(tmp_path: Path, hands: Hands) -> Iterator[Any]:
    made: list[Kept] = []

    def open_(days: int | None = None, folder: Path = tmp_path, tell: Any = pytest.fail) -> Kept:
        column = InputColumn(name="tenure", type="int64", promise=Column(name="tenure"))
        served = Served(
            name="m", version="v", run="r", project="p", digest="d", bytes_digest="b", python_type="t", framework="", form="pandas",
            step=Step(name="model", kind="python", file="", line=0, inputs=(), output="python"), charter=sample_charter(), features=(column,),
            outputs=(Field("p", "double"),), log=LogRule(columns=("tenure",), days=days),
        )  # fmt: skip
        log = Kept(folder, served, ROWS, tell, clock=hands.clock())
        log.start()
        made.append(log)
        return log

    yield open_
    for log in made:
        log.close()


def write(log: logs.Log, *tenures: int) -> None:
    rows = pa.RecordBatch.from_arrays([pa.array(tenures, pa.int64())], schema=ROWS)
    answered = pa.RecordBatch.from_pydict({"p": [0.5] * len(tenures)})
    log.write(rows, answered, None, [("request", "infer", len(tenures), False)], None)


def files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Segments, and those that are Parquet."""
    return sorted(folder.glob("*.arrows")), sorted(folder.glob("*.parquet"), key=lambda path: pq.read_table(path)["time"][0].as_py())


def tenures(*paths: Path) -> list[int]:
    return [row["tenure"] for path in paths for row in pq.read_table(path)["input"].to_pylist()]


def test_a_large_segment_ends_and_each_row_is_in_one_file(opened: Any, tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened()
    monkeypatch.setattr(logs, "LARGEST", 20_000)
    for number in range(100):
        hands.at += 0.001
        write(log, *range(10 * number, 10 * number + 10))
        if number % 10 == 0:
            log.tended()
    segments, done = files(tmp_path)
    assert len(done) > 2
    assert len(segments) < 10
    log.close()
    segments, done = files(tmp_path)
    assert segments == []
    assert tenures(*done) == list(range(1000))
    assert all(pq.read_table(path).schema.metadata[b"payoff.run"] == b"r" for path in done)


def test_an_hour_ends_a_segment_by_a_write(opened: Any, tmp_path: Path, hands: Hands) -> None:
    log = opened()
    write(log, 1)
    hands.at += HOUR - 1
    write(log, 2)
    log.tended()
    assert files(tmp_path)[1] == []
    hands.at += 2
    write(log, 3)
    log.tended()
    segments, done = files(tmp_path)
    assert (len(segments), tenures(*done)) == (1, [1, 2, 3])


def test_an_hour_ends_a_segment_where_nobody_asks_any_more(opened: Any, tmp_path: Path, hands: Hands) -> None:
    log = opened()
    hands.at += 5 * HOUR
    log.tended()
    assert [path.suffix for path in tmp_path.iterdir()] == [".arrows"], "one without a row has no age"
    write(log, 7)
    hands.at += HOUR - 1
    log.tended()
    assert files(tmp_path)[1] == []
    hands.at += 2
    log.tended()  # ends it, and closes it the next time
    log.tended()
    segments, done = files(tmp_path)
    assert (len(segments), tenures(*done)) == (1, [7])
    hands.at += 9 * HOUR
    for _ in range(3):
        log.tended()
    assert files(tmp_path) == (segments, done), "nothing came since"


def test_the_end_leaves_parquet_only_and_nothing_where_nobody_asked(opened: Any, tmp_path: Path) -> None:
    log = opened(folder=tmp_path / "asked")
    write(log, 1, 2)
    log.close()
    assert tenures(*files(tmp_path / "asked")[1]) == [1, 2]
    opened(folder=tmp_path / "silent").close()
    assert list((tmp_path / "silent").iterdir()) == []


def test_a_file_goes_when_its_first_row_may_not_be_kept_and_none_before(opened: Any, tmp_path: Path, hands: Hands) -> None:
    log = opened(days=30)
    began = hands.at
    for number in range(3):
        hands.at = began + number * DAY
        write(log, number)
        hands.at += HOUR + 1
        log.tended()
        log.tended()
    old, middle, young = files(tmp_path)[1]
    os.utime(young, (0, 0))  # a copy or a backup changes what the file system says
    os.utime(old, (began + 40 * DAY, began + 40 * DAY))
    hands.at = began + 30 * DAY - 0.000_001
    log.tended()
    assert files(tmp_path)[1] == [old, middle, young]
    hands.at = began + 30 * DAY
    log.tended()
    assert files(tmp_path)[1] == [middle, young]
    hands.at = began + 32 * DAY - 1
    log.tended()
    assert files(tmp_path)[1] == [young]
    hands.at += 1
    log.tended()
    assert files(tmp_path)[1] == []


def test_without_a_retention_nothing_goes(opened: Any, tmp_path: Path, hands: Hands) -> None:
    log = opened()
    write(log, 1)
    log.close()
    hands.at += 20_000 * DAY
    again = opened()
    again.tended()
    assert tenures(*files(tmp_path)[1]) == [1]


def test_what_a_killed_server_left_is_as_old_as_its_rows(opened: Any, tmp_path: Path, hands: Hands) -> None:
    """Parquet is made of it when the next server starts, and not kept for another thirty days."""
    killed = opened(days=30)
    write(killed, 1)
    os.close(killed._fd)  # as the system does with a process that ends
    killed._fd = -1
    left = files(tmp_path)[0]
    hands.at += 29 * DAY
    log = opened(days=30)
    assert not left[0].exists()
    assert tenures(*files(tmp_path)[1]) == [1]
    hands.at += DAY
    log.tended()
    assert files(tmp_path)[1] == []


def test_nobody_waits_for_a_disk_that_is_slow(opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a full segment is forced to the disk rows are written, can be read by others at once, and the segment stays until it is safe."""
    log = opened()
    monkeypatch.setattr(logs, "LARGEST", 1)
    free, asked = threading.Event(), threading.Event()
    really = os.fsync

    def slow(fd: int) -> None:
        asked.set()
        assert free.wait(30)
        really(fd)

    monkeypatch.setattr(os, "fsync", slow)
    write(log, 1)  # ends its segment
    disk = threading.Thread(target=log.force)
    disk.start()
    assert asked.wait(30)
    first, second = files(tmp_path)[0]
    done = threading.Thread(target=write, args=(log, 2))
    done.start()
    done.join(10)
    assert not done.is_alive(), "a write waits for the disk"
    readable = [row["tenure"] for path in (first, second) for row in pa.ipc.open_stream(path.read_bytes()).read_next_batch().column("input").to_pylist()]
    assert sorted(readable) == [1, 2]
    log.tend()
    assert files(tmp_path)[1] == [], "Parquet of what is not yet on the disk"
    free.set()
    disk.join()
    log.tended()
    assert sorted(tenures(*files(tmp_path)[1])) == [1, 2]


# -- what a kill and what a fault of the disk leaves


def killed(log: Kept) -> Path:
    """Its segment, as it is when its process has ended."""
    os.close(log._fd)
    log._fd, path, log._path = -1, log._path, None
    assert path is not None
    return path


def messages(path: Path) -> list[int]:
    """Where each message of a segment begins, and where the last ends."""
    found = [0]
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_stream(source)
        found.append(source.tell())
        while True:
            try:
                reader.read_next_batch()
            except StopIteration:
                return found
            found.append(source.tell())


def cut(path: Path, at: int) -> bytes:
    whole = path.read_bytes()
    path.write_bytes(whole[:at])
    return whole


def changed(path: Path, at: int, bytes_: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes_ + whole[at + len(bytes_) :])


def beginning_of_a_message(path: Path, at: list[int]) -> None:
    changed(path, at[2], b"\0\1\2\3")


def description(path: Path, at: list[int]) -> None:
    changed(path, at[2] + 8, b"\xee" * 24)


def length_beyond_the_end(path: Path, at: list[int]) -> None:
    changed(path, at[2] + 4, (900_000).to_bytes(4, "little"))


def text(path: Path, at: list[int]) -> None:
    place = path.read_bytes().index(b"infer", at[2])
    changed(path, place, b"\xff\xfe")


@pytest.mark.parametrize("fault", [beginning_of_a_message, description, length_beyond_the_end, text])
def test_a_damaged_segment_is_set_aside_once_and_the_rows_before_the_damage_are_kept(opened: Any, tmp_path: Path, fault: Any) -> None:
    log = opened()
    for number in (1, 2, 3):
        write(log, number)
    path = killed(log)
    fault(path, messages(path))
    damaged = path.read_bytes()
    told: list[str] = []
    again = opened(tell=told.append)
    for _ in range(3):
        again.tended()
    assert tenures(*files(tmp_path)[1]) == [1]
    assert path.with_suffix(".damaged").read_bytes() == damaged
    assert len(told) == again.damaged == 1
    assert told[0].startswith(f"PO-J055: a segment of the log of predictions is damaged, and set aside as {path.stem}.damaged; the 1 rows before")


def test_a_segment_whose_beginning_is_damaged_is_kept_as_it_is(opened: Any, tmp_path: Path) -> None:
    log = opened()
    write(log, 1)
    path = killed(log)
    changed(path, 8, b"\xee" * 40)
    told: list[str] = []
    again = opened(tell=told.append)
    again.tended()
    assert files(tmp_path)[1] == []
    assert path.with_suffix(".damaged").exists()
    assert len(told) == 1


def test_wherever_a_kill_cuts_it_off_it_is_no_damage(opened: Any, tmp_path: Path) -> None:
    """At each byte of the second batch; and a machine that stops leaves zeros where bytes were not yet on the disk."""
    log = opened()
    write(log, -1, -1)  # bytes that look like the beginning of a message
    write(log, -1)
    path = killed(log)
    _, first, second, end = messages(path)
    whole = path.read_bytes()
    for at in [0, 3, 5, first - 1, *range(second, end, 7), end - 1]:
        for left in (whole[:at], whole[:at] + b"\0" * 500 if at in (0, second) else whole[:at]):
            path.write_bytes(left)
            log._finish(path)  # what is told fails
            done = files(tmp_path)[1]
            assert tenures(*done) == ([-1, -1] if at >= second else [])
            assert not path.exists()
            assert log.damaged == 0
            for each in done:
                each.unlink()


def test_a_damaged_segment_goes_when_its_first_row_may_not_be_kept(opened: Any, tmp_path: Path, hands: Hands) -> None:
    log = opened(days=30)
    write(log, 1)
    write(log, 2)
    path = killed(log)
    beginning_of_a_message(path, messages(path))
    log = opened(days=30, tell=lambda _: None)
    aside = path.with_suffix(".damaged")
    os.utime(aside, (hands.at + 40 * DAY,) * 2)  # its rows tell the time, as long as they can
    hands.at += 30 * DAY - 0.000_001
    log.tended()
    assert aside.exists()
    hands.at += 0.000_001
    log.tended()
    assert not aside.exists()
    assert files(tmp_path)[1] == []


def test_one_of_which_nothing_can_be_read_goes_by_the_time_of_its_last_write(opened: Any, tmp_path: Path, hands: Hands) -> None:
    aside = tmp_path / "x.damaged"
    aside.write_bytes(b"\1" * 100)
    os.utime(aside, (hands.at,) * 2)
    log = opened(days=30)
    hands.at += 30 * DAY - HOUR - 1  # its first row may be an hour older
    log.tended()
    assert aside.exists()
    hands.at += 1
    log.tended()
    assert not aside.exists()


def test_a_disk_that_is_full_is_told_once_and_the_segment_stays(opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened()
    write(log, 1)
    path = killed(log)
    told: list[str] = []
    really = segments.convert

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments, "convert", full)
    again = opened(tell=told.append)
    for _ in range(3):
        again.tended()
    assert len(told) == 1
    assert path.exists()
    monkeypatch.setattr(segments, "convert", really)
    again.tended()
    assert tenures(*files(tmp_path)[1]) == [1]


def test_other_versions_go_by_what_their_files_say(opened: Any, tmp_path: Path, hands: Hands) -> None:
    """A server removes what those before it left: finished, cut off by a kill, half-made; not what somebody writes to, nor what does not say for how long it may be kept."""
    old = opened(days=30, folder=tmp_path.parent / "old")
    write(old, 1)
    old.close()
    cut_off = opened(days=30, folder=tmp_path.parent / "cut off")
    write(cut_off, 1)
    left = killed(cut_off)
    free = opened(folder=tmp_path.parent / "free")
    write(free, 1)
    free.close()
    writes = opened(days=30, folder=tmp_path.parent / "writes")
    write(writes, 1)
    half = tmp_path / ".x.123.part"
    half.write_bytes(b"rows")
    os.utime(half, (hands.at,) * 2)
    opened(days=1).tended()
    assert left.exists()
    assert half.exists()
    hands.at += 30 * DAY
    opened(days=1).tended()
    assert [len(files(tmp_path.parent / each)[1]) for each in ("old", "free")] == [0, 1]
    assert not left.exists()
    assert not half.exists()
    assert len(files(tmp_path.parent / "writes")[0]) == 1
