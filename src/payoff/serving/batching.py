"""Adaptive batches: nobody waits for others to come; what comes while the model is busy goes together when it is free.

So one client alone gets its answer as soon as the model can give it, and many share the cost of a call. A batch takes at most as many rows as
the model is known to answer within a bound of time, so that a long one does not hold up those that come after it.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from payoff.base.clock import stopwatch
from payoff.serving.faults import Wrong
from payoff.serving.model import ModelFailed, ModelGone

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from payoff.serving.model import ModelProcess, Models
    from payoff.serving.protocols.metrics import Metrics
    from payoff.serving.rows import Checker, Rows

MOST_ROWS = 8192  # of a batch of several requests; a larger request is a batch of its own
AIM = 0.05  # seconds that a batch of several requests should take


@dataclass(slots=True, eq=False)
class Item:
    """A request that waits. `decides`: it wants actions, too."""

    rows: Rows
    request: str
    route: str
    decides: bool
    answer: asyncio.Future[Any]
    since: float = field(default_factory=stopwatch)


@dataclass(frozen=True, slots=True)
class Part:
    """A request's part of a batch that was answered: rows `first` to `first + number` of `done`."""

    done: Done
    first: int
    number: int

    def floats(self, name: str) -> list[float]:
        """The model's column of that name, for this request's rows."""
        values = self.done.lists.get(name)
        if values is None:
            values = self.done.lists[name] = self.done.outputs[name]()
        return values[self.first : self.first + self.number]


@dataclass(slots=True)
class Done:
    """A batch that was answered: per output how to get its values as a list, those that were got before, and the decisions where they were wanted."""

    outputs: dict[str, Callable[[], list[Any]]]
    decisions: Any = None
    lists: dict[str, list[Any]] = field(default_factory=dict)


class Pace:
    """How long batches take: a fixed part and one per row, from what the last ones took (seconds)."""

    def __init__(self) -> None:
        self.fixed, self.row = 0.002, 0.00002

    def saw(self, rows: int, seconds: float) -> None:
        """A batch of so many rows took so long. Small batches tell the fixed part, large ones the part per row."""
        weight = 0.1
        if rows * self.row < self.fixed:
            self.fixed += weight * (max(1e-5, seconds - rows * self.row) - self.fixed)
        else:
            self.row += weight * (max(1e-8, (seconds - self.fixed) / rows) - self.row)

    def takes(self, rows: int, batches: int = 1) -> float:
        """How long so many rows will take."""
        return batches * self.fixed + rows * self.row

    @property
    def fit(self) -> int:
        """So many rows fit into the time that a batch should take; where a single row takes longer, as many as double it."""
        return max(1, min(MOST_ROWS, int(max(AIM - self.fixed, self.fixed) / self.row)))


class Batcher:
    """Takes requests, makes batches, hands out answers. `finish` is called with each batch that the model has answered, before anybody hears of it."""

    def __init__(
        self,
        models: Models,
        checker: Checker,
        features: int,
        *,
        finish: Callable[[list[Item], pa.RecordBatch, pa.RecordBatch], Done],
        seconds: float,
        waiting: int,
        metrics: Metrics,
    ) -> None:
        self._models, self._checker, self._features = models, checker, features
        self._finish = finish
        self.seconds, self.most = seconds, waiting
        self._queue: collections.deque[Item] = collections.deque()
        self._rows = 0
        self._came = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._metrics = metrics
        self.pace = Pace()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def wait(self) -> float:
        """Seconds that who comes now would wait."""
        fit = self.pace.fit
        return self.pace.takes(self._rows, -(-self._rows // fit)) / max(1, len(self._models.up))

    def refuse_full(self) -> None:
        """Send away who would wait too long, before anything is read of what they want."""
        if len(self._queue) >= self.most or self.wait > self.seconds / 2:
            self._metrics.shed += 1
            raise Wrong(
                "there are more requests than the model can answer",
                code="PO-J030",
                remedy="send it again after the time in Retry-After",
                status=429,
                retry=max(1.0, self.wait),
            )

    async def ask(self, rows: Rows, request: str, route: str, *, decides: bool) -> Part:
        """The model's answer for some rows, and what is decided by it where that `decides`."""
        self.refuse_full()
        loop = asyncio.get_running_loop()
        item = Item(rows, request, route, decides, loop.create_future())
        self._queue.append(item)
        self._rows += rows.number
        self._came.set()
        patience = loop.call_later(self.seconds, self._late, item)  # a third of what asyncio.timeout takes
        try:
            return await item.answer  # type: ignore[no-any-return]
        finally:
            patience.cancel()

    def _late(self, item: Item) -> None:
        """Nobody waits for it any longer."""
        with contextlib.suppress(ValueError):
            self._queue.remove(item)
            self._rows -= item.rows.number
        late = Wrong(
            f"the model did not answer within {self.seconds:g} seconds",
            code="PO-J031",
            remedy="send fewer rows at once, or raise --timeout",
            status=504,
        )
        _tell(item, late)

    async def run(self) -> None:
        """Make batches for ever."""
        while True:
            if not self._queue:
                self._came.clear()
                await self._came.wait()
            process = await self._models.take()
            items = self._next()
            if not items:
                self._models.done(process)
                continue
            task = asyncio.create_task(self._answer(process, items))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _next(self) -> list[Item]:
        """Requests that go together: those that came first, as far as they fit and have the same columns with missing values."""
        items: list[Item] = []
        rows, fit, skipped = 0, self.pace.fit, []
        while self._queue:
            item = self._queue.popleft()
            if item.answer.done():  # who asked does not wait any more
                self._rows -= item.rows.number
                continue
            if items and item.rows.gaps != items[0].rows.gaps:
                skipped.append(item)
                if len(skipped) > 100:
                    break
                continue
            if items and rows + item.rows.number > fit:
                self._queue.appendleft(item)
                break
            items.append(item)
            rows += item.rows.number
        self._queue.extendleft(reversed(skipped))
        self._rows -= rows
        return items

    async def _answer(self, process: ModelProcess, items: list[Item]) -> None:
        began = stopwatch()
        wrong: Exception | None = None
        batch = answered = None
        try:
            batch = self._batch(items)
            if batch is not None:
                features = batch.select(list(range(self._features)))
                answered = await process.ask(features, self.seconds)
        except Exception as error:  # who waits is told, and the others go on
            wrong = error
        finally:
            self._models.done(process)
        if wrong is not None:
            await self._failed(items, wrong)
        elif batch is not None and answered is not None:
            took = stopwatch() - began
            self.pace.saw(batch.num_rows, took)
            self._metrics.batch(len(items), batch.num_rows, took)
            self._hand_out(items, batch, answered)

    def _batch(self, items: list[Item]) -> pa.RecordBatch | None:
        """All rows of some requests; those of which Arrow does not take a value are told so and left out."""
        try:
            return self._checker.table(_joined(items))
        except Exception:  # Arrow raises many kinds
            for item in list(items):
                try:
                    self._checker.table(item.rows.columns)
                except Exception as error:
                    items.remove(item)
                    _tell(item, _unfit(self._checker, item, error))
            return self._checker.table(_joined(items)) if items else None

    def _hand_out(self, items: list[Item], batch: pa.RecordBatch, answered: pa.RecordBatch) -> None:
        try:
            done = self._finish(items, batch, answered)
        except Exception as error:
            _tell_all(items, error)
            return
        first = 0
        for item in items:
            if not item.answer.done():
                item.answer.set_result(Part(done, first, item.rows.number))
            first += item.rows.number

    async def _failed(self, items: list[Item], error: Exception) -> None:
        """One request must not fail for another: of several each is asked alone, unless the process is gone."""
        if isinstance(error, ModelFailed) and len(items) > 1:
            for item in items:
                again = await self._models.take()
                await self._answer(again, [item])
        elif isinstance(error, ModelFailed):
            self._metrics.failures += 1
            self._metrics.tell(f"the model raised {error.error}: {error.message}")
            _tell_all(items, _raised(error))
        else:
            _tell_all(items, _gone() if isinstance(error, ModelGone | TimeoutError) else error)


def _joined(items: list[Item]) -> list[list[Any]]:
    if len(items) == 1:
        return list(items[0].rows.columns)
    columns: list[list[Any]] = []
    for parts in zip(*(item.rows.columns for item in items), strict=True):
        whole: list[Any] = []
        for part in parts:
            whole += part
        columns.append(whole)
    return columns


def _tell(item: Item, error: Exception) -> None:
    if not item.answer.done():
        item.answer.set_exception(error)


def _tell_all(items: list[Item], error: Exception) -> None:
    for item in items:
        _tell(item, error)


def _unfit(checker: Checker, item: Item, error: Exception) -> Exception:
    try:
        checker.refuse_unfit(item.rows)
    except Wrong as wrong:
        return wrong
    return error


def _raised(error: ModelFailed) -> Wrong:
    return Wrong(
        f"the model raised {error.error} for these rows",
        code="PO-J032",
        remedy="the server's own output has the whole message; correct the model, or what it is asked",
        status=500,
    )


def _gone() -> Wrong:
    return Wrong(
        "the model's process ended before it answered",
        code="PO-J033",
        remedy="send it again after the time in Retry-After; the process is started again",
        status=503,
        retry=1.0,
    )
