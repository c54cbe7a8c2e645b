"""The log of predictions: Arrow IPC streams that grow a batch at a time, Parquet files when they are full.

When an answer leaves, its rows are in the operating system: a process that is killed loses none of them. A machine that stops loses what was not yet
forced to the disk: at most the last `SYNC` seconds. A message that is not whole, the end of a write that a kill cut off, is left out by the next
server, which turns what it finds into Parquet. A segment that a fault of the disk has damaged is set aside, and Parquet made of the rows before the damage. Who writes never waits for a disk: two threads do, one that forces to it, one that makes Parquet and
removes what may not be kept.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from payoff.base import ids
from payoff.base.clock import microseconds, stopwatch
from payoff.base.files import place_durably
from payoff.execute.logged import files as logged
from payoff.execute.logged import segments
from payoff.execute.logged.files import DAMAGED, DONE, LONGEST, OPEN, PART, is_free
from payoff.serving.faults import Wrong

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from payoff.records.serving.served import Served

SYNC = 1.0  # seconds
LARGEST = 64 << 20  # bytes of a segment
_AGAIN = 1.0  # seconds after which a disk that was full is tried again
_DAMAGE = "PO-J055"


class Clock(NamedTuple):
    """`seconds` only go forward; `now` is in microseconds since 1970."""

    seconds: Callable[[], float] = stopwatch
    now: Callable[[], int] = microseconds


_CLOCK = Clock()


class Log:
    """Where predictions are written down, by one thread; others force files to the disk, turn them into Parquet, and remove them."""

    def __init__(
        self, folder: Path, served: Served, rows: pa.Schema, tell: Callable[[str], None], *, clock: Clock = _CLOCK
    ) -> None:
        self._folder, self._tell, self._clock = folder, tell, clock
        self._names = [name for name in served.log.columns if name in rows.names]
        self.keeps_ids = served.id is not None and served.id.name in served.log.columns
        self._days = served.log.days
        self._files: dict[str, logged.File] = {}
        self._said: set[str] = set()
        self._others = float("-inf")  # when the folders of other versions were looked through
        self._action = _action(served)
        self.schema = _schema(served, rows, self._names, ids=self.keeps_ids)
        self._digest = served.digest
        self._same = _always(self._digest, self._action, 1024)
        self._routes: dict[str, tuple[pa.Array, pa.Array]] = {}
        # Looked up once: a single row costs little else.
        self._places = [rows.get_field_index(name) for name in self._names]
        self._times = self.schema.field("time").type
        self._inputs = list(self.schema.field("input").type) if self._names else []
        self._outputs = list(self.schema.field("output").type)
        self._fd = -1
        self._path: Path | None = None
        self._size, self._broken = 0, 0.0
        self._began: float | None = None  # when the segment got its first row
        self._unsynced = False
        self._full: collections.deque[int] = (
            collections.deque()
        )  # segments that nobody writes to any more, not yet forced to the disk
        self._stop = threading.Event()
        self._lock = threading.Lock()  # of the segment that is written; nobody waits for a disk with it
        self.rows = self.damaged = 0
        self._threads = [
            threading.Thread(target=self._again, args=(each,), name="payoff-log", daemon=True)
            for each in (self.force, self.tend)
        ]

    @property
    def works(self) -> bool:
        """Whether the last write succeeded, or long enough ago failed to be tried again."""
        return not self._broken or self._clock.seconds() - self._broken > _AGAIN

    def start(self) -> None:
        """Take over what an earlier server left, and begin a segment."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._recover()  # what may not be kept goes in a second: nobody waits for it
        self._begin()
        for each in self._threads:
            each.start()

    def write(
        self,
        rows: pa.RecordBatch,
        answered: pa.RecordBatch,
        decisions: Any,
        who: Sequence[tuple[str, str, int, bool]],
        ids_: Sequence[Any] | None,
    ) -> None:
        """Write down a batch; `who` are (request, route, rows, decides) in the order of the rows. `Wrong` when it cannot be written: then nothing of it is."""
        batch = self._batch(rows, answered, decisions, who, ids_)
        data = batch.serialize()
        with self._lock:
            try:
                if self._fd < 0:
                    self._begin()
                self._append(memoryview(data))
            except OSError as error:
                self._broken = self._clock.seconds()
                raise _unwritten(error) from None
            if self._began is None:
                self._began = self._clock.seconds()
            self._turn_full()
        self._broken = 0.0
        self.rows += batch.num_rows

    def close(self) -> None:
        """Force all to the disk, and make Parquet files of what is left."""
        self._stop.set()
        for each in self._threads:
            if each.is_alive():
                each.join(30)
        with self._lock:
            fd, self._fd, self._path = self._fd, -1, None
        if fd >= 0:
            self._full.append(fd)
        self.force()
        self.tend()

    # -- segments

    def _begin(self) -> None:
        path = self._folder / f"{ids.new_run_id()}{OPEN}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(
                fd, fcntl.LOCK_EX
            )  # goes with this process: who finds the file free knows that nobody writes it
            self._fd, self._path, self._size, self._began = fd, path, 0, None
            self._append(memoryview(self.schema.serialize()))
        except OSError:
            os.close(fd)
            self._fd, self._path = -1, None
            path.unlink(missing_ok=True)
            raise

    def _append(self, data: memoryview) -> None:
        """All of it or nothing: what was written of a message that did not fit is taken away again."""
        before, left = self._size, data
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, before)
            raise
        self._size = before + data.nbytes
        self._unsynced = True

    def _turn_full(self) -> None:
        """The next segment, when this one is large or old enough; the threads take care of this one."""
        if self._fd < 0 or self._began is None:
            return  # without a row it has no age
        if self._size > LARGEST or self._clock.seconds() - self._began > LONGEST:
            self._full.append(self._fd)
            self._fd, self._path = -1, None
            with contextlib.suppress(OSError):  # the next write tries again
                self._begin()

    def _again(self, what: Callable[[], None]) -> None:
        """Do it every second."""
        while not self._stop.wait(SYNC):
            try:
                what()
            except OSError as error:
                self._once(f"the log of predictions cannot be tended: {error.strerror}")

    def _once(self, line: str) -> None:
        """Tell it, and not every second."""
        if line not in self._said:
            self._said.add(line)
            self._tell(line)

    def force(self) -> None:
        """Force to the disk what was written; segments that are full are closed, which is how others know that they may take them."""
        while self._full:
            fd = self._full.popleft()
            with contextlib.suppress(OSError):
                os.fsync(fd)
            os.close(fd)
        fd = self._fd  # only this closes one, so that it stays open meanwhile
        if self._unsynced and fd >= 0:
            self._unsynced = False
            with contextlib.suppress(OSError):
                os.fsync(fd)

    def tend(self) -> None:
        """Finish what is full or old, and remove what may not be kept."""
        with self._lock:
            self._turn_full()  # also where nobody asks any more
        self._recover()
        self._expire()

    def _recover(self) -> None:
        """Make Parquet of segments that nobody writes any more."""
        for path in sorted(self._folder.glob(f"*{OPEN}")):
            if path != self._path and is_free(path):
                self._finish(path)

    def _finish(self, path: Path) -> None:
        """Turn a segment into Parquet. Whole or not at all; the segment goes only when the file is there, and where it is damaged it stays, set aside."""
        target = path.with_suffix(DONE)
        part = path.with_name(f".{path.stem}.{os.getpid()}{PART}")
        try:
            read = segments.convert(path, part)
            if read.rows:
                place_durably(part, target)
            if read.fault:
                self._set_aside(path, read)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return  # another server was faster
        except (OSError, pa.ArrowException) as error:
            self._once(f"{path.name} stays as it is: {error}"[:200])
        finally:
            part.unlink(missing_ok=True)

    def _set_aside(self, path: Path, read: segments.Read) -> None:
        path.rename(path.with_suffix(DAMAGED))
        self.damaged += 1
        kept = f"; the {read.rows:,} rows before the damage are in {path.stem}{DONE}" if read.rows else ""
        self._tell(
            f"{_DAMAGE}: a segment of the log of predictions is damaged, and set aside as {path.stem}{DAMAGED}{kept}: {read.fault}"
        )

    def _expire(self) -> None:
        """Remove files of which labels do not permit to keep the first row any longer; the last is younger by an hour at most. Those of other versions go by what they say."""
        if self._clock.seconds() - self._others > LONGEST:
            self._others = self._clock.seconds()
            for folder in self._folder.parent.glob("*"):
                if folder != self._folder and folder.is_dir():
                    logged.expire(folder, self._clock.now())
            for part in self._folder.glob(f".*{PART}"):
                with contextlib.suppress(FileNotFoundError):  # what a server left that was killed while it made Parquet
                    if part.stat().st_mtime_ns // 1000 < self._clock.now() - LONGEST * 1e6:
                        part.unlink()
        for path in (*self._folder.glob(f"*{DONE}"), *self._folder.glob(f"*{DAMAGED}")):
            with contextlib.suppress(FileNotFoundError):
                file = self._files.get(path.name)
                if file is None:
                    file = self._files[path.name] = logged.looked_at(path)
                days = min((each for each in (self._days, file.days) if each is not None), default=None)
                if days is not None and file.is_due(days, self._clock.now()):
                    path.unlink()
                    del self._files[path.name]

    # -- rows

    def _batch(
        self,
        rows: pa.RecordBatch,
        answered: pa.RecordBatch,
        decisions: Any,
        who: Sequence[tuple[str, str, int, bool]],
        ids_: Sequence[Any] | None,
    ) -> pa.RecordBatch:
        number = rows.num_rows
        always = self._always(number)
        columns: list[pa.Array] = [
            pa.repeat(pa.scalar(self._clock.now(), self._times), number),
            *self._placed(who),
            always.model.slice(0, number),
        ]
        if self.keeps_ids:
            columns.append(
                pa.array([None if each is None else str(each) for each in ids_ or [None] * number], pa.string())
            )
        if self._names:
            inputs = [rows.column(place) for place in self._places]
            columns.append(pa.StructArray.from_arrays(inputs, fields=self._inputs))
        columns.append(pa.StructArray.from_arrays(answered.columns, fields=self._outputs))
        if decisions is None:
            columns += (always.action.slice(0, number), always.expected.slice(0, number))
        else:
            columns += self._decided(decisions, who)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _always(self, number: int) -> Always:
        """What is the same in every row, for so many at least."""
        if len(self._same.model) < number:
            self._same = _always(self._digest, self._action, 2 * number)
        return self._same

    def _placed(self, who: Sequence[tuple[str, str, int, bool]]) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Each row's request, its place in it, and the request's route. One request, the most common batch of a client that is alone, needs no lists of its rows."""
        if len(who) == 1:
            request, route, count, _ = who[0]
            if count > 1:
                return pa.repeat(request, count), pa.array(np.arange(count, dtype=np.int32)), pa.repeat(route, count)
            if route not in self._routes:
                self._routes[route] = pa.array([0], pa.int32()), pa.array([route])
            return pa.array([request]), *self._routes[route]
        requests: list[str] = []
        places: list[int] = []
        routes: list[str] = []
        for request, route, count, _ in who:
            requests += [request] * count
            places += range(count)
            routes += [route] * count
        return pa.array(requests), pa.array(places, pa.int32()), pa.array(routes)

    def _decided(self, decisions: Any, who: Sequence[tuple[str, str, int, bool]]) -> list[pa.Array]:
        """The action and its expected payoff, where a request asked for one."""
        mask = np.repeat([not each[3] for each in who], [each[2] for each in who])
        for row in decisions.bad:
            mask[row] = True
        expected = (
            pa.nulls(len(mask), pa.float64()) if decisions.expected is None else pa.array(decisions.expected, mask=mask)
        )
        return [pa.array(decisions.chosen, self._action, mask=mask), expected]


class Always(NamedTuple):
    """Columns that are the same in every row: the model's digest, and no action where none is asked for."""

    model: pa.Array
    action: pa.Array
    expected: pa.Array


def _always(digest: str, action: pa.DataType, rows: int) -> Always:
    return Always(pa.array([digest] * rows), pa.nulls(rows, action), pa.nulls(rows, pa.float64()))


def _schema(served: Served, rows: pa.Schema, names: Sequence[str], *, ids: bool) -> pa.Schema:
    fields = [
        pa.field("time", pa.timestamp("us", "UTC")),
        pa.field("request", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("route", pa.string()),
        pa.field("model", pa.string()),
    ]
    fields += [pa.field("id", pa.string())] if ids else []
    fields += [pa.field("input", pa.struct([rows.field(name) for name in names]))] if names else []
    fields += [
        pa.field("output", pa.struct([pa.field(each.name, pa.float64()) for each in served.outputs])),
        pa.field("action", _action(served)),
        pa.field("expected_payoff", pa.float64()),
    ]
    facts = {
        "payoff.run": served.run,
        "payoff.model": served.digest,
        "payoff.charter": served.charter.digest,
        "payoff.currency": served.charter.currency,
    }
    if served.log.days is not None:  # whoever finds the file knows until when
        facts[logged.DAYS.decode()] = str(served.log.days)
    return pa.schema(fields, metadata=facts)


def _action(served: Served) -> pa.DataType:
    return pa.string() if served.charter.quantity is None else pa.float64()


def _unwritten(error: OSError) -> Wrong:
    return Wrong(
        f"the prediction could not be written to the log ({error.strerror}), so it is not given",
        code="PO-J035",
        remedy="free some space under .payoff/serving, or serve with --no-log",
        status=503,
        retry=5.0,
    )
