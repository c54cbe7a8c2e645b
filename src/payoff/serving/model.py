"""A model's process, from our side: started in the model's own environment, asked over a socket, started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError, Where
from payoff.serving.launching import Facts, Launch, Started

if TYPE_CHECKING:
    from payoff.flows.serve.offered import Offer

ASK, ANSWER, WRONG, READY = 1, 2, 3, 4
_HEADER = struct.Struct("<IIQ")
START = 300.0  # seconds that a model has to load


class ModelFailed(Exception):
    """The model raised for a batch. `kind` is a Failure's kind; `message` is the model's own, for the log and not for clients."""

    def __init__(self, kind: str, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.kind, self.error, self.message = kind, error, message


class ModelGone(Exception):
    """The model's process ended before it answered."""


def facts(offer: Offer) -> Facts:
    """What a process of the offered model is told."""
    served = offer.served
    return Facts(
        python=str(offer.python),
        root=str(offer.root),
        model=str(offer.model),
        variables=offer.variables,
        step=served.step.name,
        threads=served.step.threads,
        seed=served.step.seed,
        deterministic=served.step.deterministic,
        memory_bytes=offer.environment.memory_bytes,
        most_threads=offer.environment.threads,
        form=served.form,
        outputs=tuple(field.name for field in served.outputs),
        schema=served.schema,
        features=len(served.features),
    )


class ModelProcess(asyncio.Protocol):
    """One process. After `start` it answers `ask`; when it ends, everybody who waits gets `ModelGone`."""

    def __init__(self, how: Launch, answers: pa.Schema) -> None:
        self._how = how
        self._answers = answers
        self._process: Started | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._buffer = bytearray()
        self._number = 0
        self.ended = asyncio.Event()
        self.facts: dict[str, Any] = {}

    async def start(self, early: Started | None = None) -> dict[str, Any]:
        """Start it, or take one that was, and wait until the model is loaded; answers what it says of itself."""
        loop = asyncio.get_running_loop()
        self._process = early or Started(self._how)
        ready = self._waiting[0] = loop.create_future()
        await loop.create_connection(lambda: self, sock=self._process.door)
        try:
            self.facts = json.loads(await asyncio.wait_for(ready, START))
        except (ModelGone, TimeoutError) as gone:
            await self.stop()
            raise OutsideError(
                "the model's process ended while the model was loaded"
                if isinstance(gone, ModelGone)
                else f"the model was not loaded after {START:.0f} seconds",
                code="PO-J010",
                expected="a process that loads the model and stays",
                remedy="see what it printed above; memory may have run out",
            ) from None
        except ModelFailed as failed:
            await self.stop()
            raise UserError(
                f"the model cannot be loaded in its environment: {failed.error}: {failed.message}"[:600],
                code="PO-J011",
                expected="the packages that the run had, and its code as it was",
                remedy="payoff reproduce RUN says what is not as it was",
                where=Where(self._how.root),
            ) from None
        return self.facts

    async def ask(self, batch: pa.RecordBatch, seconds: float) -> pa.RecordBatch:
        """The model's columns for a batch, in the same order of rows.

        Raises `ModelFailed` for what the model raised, `ModelGone` when its process ended, `TimeoutError` after so many seconds (then it is killed: nobody
        knows whether it will ever come back).
        """
        if self._transport is None or self.ended.is_set():
            raise ModelGone
        self._number = self._number % 0xFFFF_FFF0 + 1
        number = self._number
        loop = asyncio.get_running_loop()
        answer = self._waiting[number] = loop.create_future()
        body = batch.serialize()
        self._transport.writelines([_HEADER.pack(ASK, number, body.size), memoryview(body)])
        patience = loop.call_later(seconds, self._late, answer)
        try:
            found = await answer
        finally:
            patience.cancel()
            self._waiting.pop(number, None)
        return pa.ipc.read_record_batch(pa.py_buffer(found), self._answers)

    def _late(self, answer: asyncio.Future[bytes]) -> None:
        if not answer.done():
            answer.set_exception(TimeoutError())
            self.kill()

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """Close the socket, on which it ends; killed when it does not."""
        if self._transport is not None:
            self._transport.close()
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), 3)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid if self._process is not None else 0

    # -- asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Some bytes of frames."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, number, size = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + size
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_HEADER.size : end])
            del self._buffer[:end]
            self._arrived(kind, number, body)

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone, and with it all that it was asked."""
        self.ended.set()
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.done():
                each.set_exception(ModelGone())

    def _arrived(self, kind: int, number: int, body: bytes) -> None:
        waiting = self._waiting.get(number)
        if waiting is None or waiting.done():
            return
        if kind == WRONG:
            told = msgspec.json.decode(body)
            waiting.set_exception(ModelFailed(told["kind"], told["error"], told["message"]))
        else:
            waiting.set_result(body)


class Models:
    """So many processes of one model; one that ends is started again, later each time it ends soon."""

    def __init__(
        self, how: Launch, answers: pa.Schema, number: int, *, tell: Any, early: Started | None = None
    ) -> None:
        self._how, self._answers, self._tell = how, answers, tell
        if early is not None and not early.how.same(how):  # another model than the one that is opened now
            early.leave()
            early = None
        self._early = early
        self._number = number
        self._keepers: list[asyncio.Task[None]] = []
        self.free: asyncio.Queue[ModelProcess] = asyncio.Queue()
        self.up: set[ModelProcess] = set()
        self.restarts = 0
        self._stopping = False

    async def start(self) -> dict[str, Any]:
        """Start all; answers what the first says of itself."""
        first = await asyncio.gather(*(self._one() for _ in range(self._number)))
        self._keepers = [asyncio.create_task(self._keep(each)) for each in first]
        return first[0].facts

    async def stop(self) -> None:
        """End all."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*(each.stop() for each in list(self.up)))

    def done(self, process: ModelProcess) -> None:
        """Give a process back."""
        if not process.ended.is_set():
            self.free.put_nowait(process)

    async def take(self) -> ModelProcess:
        """A process that is free; waits for one."""
        while True:
            process = await self.free.get()
            if not process.ended.is_set():
                return process

    async def _one(self) -> ModelProcess:
        process = ModelProcess(self._how, self._answers)
        early, self._early = self._early, None
        await process.start(early)
        self.up.add(process)
        self.free.put_nowait(process)
        return process

    async def _keep(self, process: ModelProcess) -> None:
        pause = 0.1
        while not self._stopping:
            began = stopwatch()
            await process.ended.wait()
            self.up.discard(process)
            await process.stop()
            self.restarts += 1
            pause = 0.1 if stopwatch() - began > 60 else min(pause * 2, 30.0)
            self._tell(f"the model's process ended; it is started again in {pause:.1f} s")
            await asyncio.sleep(pause)
            while True:
                try:
                    process = await self._one()
                    break
                except (OutsideError, UserError) as error:
                    pause = min(pause * 2, 30.0)
                    self._tell(f"{error.code}: {error.what}; the next attempt is in {pause:.0f} s")
                    await asyncio.sleep(pause)
