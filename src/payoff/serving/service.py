"""What every protocol asks: rows in, the model's columns and decisions out; checked before, written down after."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from payoff.base.errors import UserError
from payoff.execute.logged.files import FOLDER
from payoff.serving.batching import Batcher, Done, Item, Part
from payoff.serving.faults import Wrong
from payoff.serving.launching import launch
from payoff.serving.log import Log
from payoff.serving.model import ModelFailed, ModelGone, Models, facts
from payoff.serving.protocols.metrics import Metrics
from payoff.serving.protocols.tensors import Output
from payoff.serving.rows import Checker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payoff.flows.serve.offered import Offer
    from payoff.serving.decisions.deciding import Decider, Decisions
    from payoff.serving.decisions.quantities import QuantityDecider
    from payoff.serving.launching import Started
    from payoff.serving.rows import Values

_T = TypeVar("_T")
FIRST = 60.0  # seconds that a model's first answer may take
LARGE, MANY = 1 << 18, 1 << 16  # bytes of a body, values of a table, which are read and checked beside the loop
ACTION, PAYOFF = "action", "expected_payoff"  # outputs that may be asked for besides the model's own


class Limits(NamedTuple):
    """`seconds` for a request once it was read, `read` to read it; `body` bytes; `requests` that are under way; `waiting` for the model. `workers`: processes."""

    seconds: float = 10.0
    read: float = 10.0
    body: int = 16 << 20
    requests: int = 512
    waiting: int = 256
    workers: int = 1


class Answered(NamedTuple):
    """What came of a request: its part of a batch, and the decisions of the batch where they were asked for."""

    part: Part
    decisions: Decisions | None


async def refuse_other(models: Models, offer: Offer, seconds: float) -> None:
    """Ask the model what it was asked in its run: packages, code, processor or switches that change its answers are met before anybody relies on it.

    Its first call, which is slow in many libraries, is nobody's who waits.
    """
    rows, said = offer.known
    if not rows.num_rows:
        return
    process = await models.take()
    try:
        found = await process.ask(rows.to_batches()[0], max(seconds, FIRST))
    except (ModelFailed, ModelGone, TimeoutError) as error:
        what = f"raised {error.error}: {error.message}" if isinstance(error, ModelFailed) else "did not answer"
        raise UserError(
            f"the model {what}, asked for rows that it predicted in its run"[:600],
            code="PO-J017",
            expected="the predictions of the run",
            remedy=f"payoff reproduce {offer.served.run} says what is not as it was",
        ) from None
    finally:
        models.done(process)
    for name in said.column_names:
        ours, theirs = found.column(name).to_numpy(), said.column(name).to_numpy()
        far = int((~np.isclose(ours, theirs, rtol=1e-4, atol=1e-6, equal_nan=True)).sum())
        if far:
            raise UserError(
                f"the model predicts something else here than in its run: {name} differs in {far} of the first {len(ours)} rows of the holdout",
                code="PO-J017",
                expected="the predictions of the run, to a relative 0.0001",
                remedy=f"payoff reproduce {offer.served.run} says what is not as it was",
            )


class Service:
    """One model, served."""

    def __init__(
        self,
        offer: Offer,
        limits: Limits,
        tell: Callable[[str], None],
        *,
        log: bool = True,
        early: Started | None = None,
    ) -> None:
        self.offer, self.served, self.limits = offer, offer.served, limits
        schema = pa.ipc.read_schema(pa.py_buffer(self.served.schema))
        self.checker = Checker(self.served, schema)
        self.metrics = Metrics(tell)
        self.outputs = [field.name for field in self.served.outputs]
        number = len(self.served.features)
        answers = pa.schema([pa.field(name, pa.float64()) for name in self.outputs])
        self.models = Models(launch(facts(offer)), answers, limits.workers, tell=tell, early=early)
        self.decider: Decider | QuantityDecider | None = None  # made while the model is loaded
        folder = offer.home / FOLDER / self.served.version
        self.log = Log(folder, self.served, schema, tell) if log else None
        self.batcher = Batcher(
            self.models,
            self.checker,
            number,
            finish=self._finish,
            seconds=limits.seconds,
            waiting=limits.waiting,
            metrics=self.metrics,
        )
        self.draining = False
        self.under_way = 0
        self._beside = asyncio.Lock()
        self._run: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the model's processes; when this returns, questions can be answered."""
        if self.log is not None:
            self.log.start()
        try:
            await asyncio.gather(self.models.start(), asyncio.to_thread(self._learn_to_decide))
            await refuse_other(self.models, self.offer, self.limits.seconds)
        except BaseException:
            await self.stop()
            raise
        self._run = asyncio.create_task(self.batcher.run())

    def _learn_to_decide(self) -> None:
        """Bring the engine and what reads payoffs: as long as the model takes, nobody waits for it."""
        if not self.served.silent:
            from payoff.serving.decisions.deciding import decider

            self.decider = decider(self.served, self.offer.kit.engine)

    async def stop(self) -> None:
        """End everything; what was accepted is answered before."""
        self.draining = True
        if self._run is not None:
            self._run.cancel()
        await self.models.stop()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)

    @property
    def not_ready(self) -> str:
        """Why it should get no questions now; empty when it may."""
        if self.draining:
            return "it is about to stop"
        if not self.models.up:
            return "the model is being loaded"
        if self.log is not None and not self.log.works:
            return "the log of predictions cannot be written"
        return ""

    def refuse(self) -> None:
        """Send away who cannot be answered now, before anything is read of what they want."""
        if self.under_way >= self.limits.requests:
            self.metrics.shed += 1
            raise Wrong(
                f"more than {self.limits.requests} requests are under way",
                code="PO-J030",
                remedy="send it again after the time in Retry-After",
                status=429,
                retry=1.0,
            )
        if why := self.not_ready:
            raise Wrong(
                why, code="PO-J036", remedy="send it again after the time in Retry-After", status=503, retry=1.0
            )
        self.batcher.refuse_full()

    async def beside(self, work: Callable[[], _T], *, large: bool) -> _T:
        """Do some work at once, or where it is `large` in a thread, one at a time: others are answered meanwhile, and what it takes of memory it takes once."""
        if not large:
            return work()
        async with self._beside:
            return await asyncio.to_thread(work)

    async def ask(
        self, columns: Mapping[str, Values], rows: int, *, route: str, request: str, decides: bool = False
    ) -> Answered:
        """The model's answer for some rows."""
        if decides and self.decider is None:
            raise Wrong(
                f"this model takes no decisions here: {self.served.silent}",
                code="PO-J025",
                remedy="ask for predictions: /v2/models/.../infer or /invocations",
                status=501,
            )
        try:
            made = await self.beside(
                lambda: self.checker.rows(columns, rows, decides=decides), large=rows * len(columns) > MANY
            )
        except Wrong as wrong:
            self.metrics.faults += wrong.count
            raise
        part = await self.batcher.ask(made, request, route, decides=decides)
        self.metrics.rows[route] += rows
        decisions: Decisions | None = part.done.decisions if decides else None
        if decisions is not None:
            from payoff.serving.decisions.deciding import refuse_bad

            refuse_bad(decisions, part.first, part.number)
            self._count(decisions, part)
        return Answered(part, decisions)

    def columns(self, answered: Answered) -> dict[str, Output]:
        """The outputs of an answer, as tensors."""
        found = {name: Output("FP64", answered.part.floats(name)) for name in self.outputs}
        if answered.decisions is not None:
            actions, expected = self.decided(answered)
            found[ACTION] = Output("BYTES" if self.served.charter.quantity is None else "FP64", actions)
            if expected is not None:
                found[PAYOFF] = Output("FP64", expected)
        return found

    def decided(self, answered: Answered) -> tuple[list[Any], list[float] | None]:
        """Per row the action, and what it is expected to bring; nobody knows that where a model names a quantity itself."""
        decisions, part = answered.decisions, answered.part
        assert decisions is not None  # noqa: S101 - who asks for them has them
        here = slice(part.first, part.first + part.number)
        expected = None if decisions.expected is None else decisions.expected[here].tolist()
        return decisions.chosen[here].tolist(), expected

    def _count(self, decisions: Decisions, part: Part) -> None:
        here = slice(part.first, part.first + part.number)
        chosen = decisions.chosen[here].tolist()
        if self.served.charter.quantity is None:
            self.metrics.actions.update(chosen)
        else:  # one series for each quantity would be a thousand
            self.metrics.actions["quantity"] += len(chosen)
            self.metrics.quantity += sum(chosen)
        if decisions.expected is not None:
            self.metrics.decided(decisions.expected[here].tolist())

    def _finish(self, items: list[Item], batch: pa.RecordBatch, answered: pa.RecordBatch) -> Done:
        """Decide, and write down: before anybody hears of a prediction it is in the log."""
        decisions = None
        if self.decider is not None and any(item.decides for item in items):
            try:
                decisions = self.decider.decide(batch, answered)
            except UserError as error:
                from payoff.serving.decisions.deciding import unsound

                raise unsound(error) from None
        if self.log is not None:
            who = [(item.request, item.route, item.rows.number, item.decides) for item in items]
            ids = None
            if self.log.keeps_ids and any(item.rows.ids is not None for item in items):
                ids = [each for item in items for each in item.rows.ids or [None] * item.rows.number]
            try:
                self.log.write(batch, answered, decisions, who, ids)
            except Wrong:
                self.metrics.unlogged += len(items)
                raise
        outputs = {name: answered.column(place).to_pylist for place, name in enumerate(self.outputs)}
        return Done(outputs, decisions)

    def gauges(self) -> dict[str, tuple[str, float]]:
        """What is measured when it is asked for."""
        found = {
            "ready": ("1 when questions are answered.", float(not self.not_ready)),
            "model_processes": ("Processes of the model that are up.", float(len(self.models.up))),
            "model_restarts_total": (
                "Times that a process of the model ended and was started again.",
                float(self.models.restarts),
            ),
            "queue_requests": ("Requests that wait for the model.", float(self.batcher.waiting)),
            "requests_under_way": ("Requests that are under way.", float(self.under_way)),
            "queue_seconds": ("Seconds that a request would wait now.", self.batcher.wait),
            "process_memory_bytes": ("Memory of the server and the model's processes.", float(self._memory())),
        }
        if self.served.charter.quantity is not None:
            found["decided_quantity_total"] = ("Sum of all quantities that were decided.", self.metrics.quantity)
        if self.log is not None:
            found["logged_rows_total"] = ("Rows written to the log.", float(self.log.rows))
            found["damaged_segments_total"] = (
                "Segments of the log that were damaged, and set aside.",
                float(self.log.damaged),
            )
        return found

    def _memory(self) -> int:
        page = os.sysconf("SC_PAGE_SIZE")
        total = 0
        for pid in ("self", *(str(each.pid) for each in self.models.up)):
            try:
                with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
                    total += int(stream.read().split()[1]) * page
            except (OSError, ValueError, IndexError):
                continue
        return total
