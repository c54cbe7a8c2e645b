"""Scores a file of rows: parts of a fixed number of rows, as many at once as there are processes, each written once, then all in one file."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError
from payoff.serving.decisions.deciding import AMOUNT, decider, refuse_bad
from payoff.serving.faults import Fault, Wrong
from payoff.serving.launching import launch
from payoff.serving.model import ModelFailed, ModelGone, Models, facts
from payoff.serving.protocols import tables
from payoff.serving.rows import Checker
from payoff.serving.service import refuse_other

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from payoff.flows.serve.score import Job
    from payoff.records.serving.served import Served
    from payoff.serving.decisions.deciding import Decisions

SECONDS = 3600.0  # that a part may take
_TRIES = 3
ROW, REASON = "payoff_row", "payoff_reason"  # columns: a row's number in the file, from 1, and what it breaks


class Scored(NamedTuple):
    """What was written: `rows` that were scored, in `parts`; `reused` parts were there from before. `payoff` is the expected payoff of all decisions, `aside`
    how many rows were set aside.
    """

    rows: int
    parts: int
    reused: int
    seconds: float
    payoff: float | None
    aside: int = 0


class _Sifted(NamedTuple):
    """The rows of a part that keep all promises, their places in it, and what the others break: place -> rules."""

    batch: pa.RecordBatch
    places: list[int]
    broken: dict[int, list[str]]


def processors() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0))


def score(job: Job, workers: int, tell: Callable[[str], None]) -> Scored:
    """Score all rows; what an earlier call that was killed had done is not done again."""
    return asyncio.run(_score(job, workers, tell))


async def _score(job: Job, workers: int, tell: Callable[[str], None]) -> Scored:
    began = stopwatch()
    reused = job.begin()
    scorer = _Scorer(job, workers, tell)
    running: set[asyncio.Task[None]] = set()
    parts = 0
    try:
        await scorer.models.start()
        await refuse_other(scorer.models, job.offer, SECONDS)
        for parts, rows in enumerate(_parts(job), start=1):
            if job.part(parts - 1).exists():
                continue
            while len(running) >= 2 * workers:
                await _some(running)
            running.add(asyncio.create_task(scorer.part(parts - 1, rows)))
            await asyncio.sleep(0)
        while running:
            await _some(running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await scorer.models.stop()
    rows, payoff, aside = _join(job, parts, scorer.schema)
    return Scored(rows, parts, reused, stopwatch() - began, payoff, aside)


async def _some(running: set[asyncio.Task[None]]) -> None:
    """Wait for at least one, and raise what it raised."""
    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    running -= done
    for task in done:
        task.result()


def _parts(job: Job) -> Iterator[pa.Table]:
    """The rows, so many each, in the order of the file, whatever batches they are read in."""
    size = job.plan.rows
    held: list[pa.RecordBatch] = []
    number = 0
    with job.source.read(list(job.names)) as reader:
        for batch in reader:
            left = batch
            while number + left.num_rows >= size:
                take = size - number
                held.append(left.slice(0, take))
                yield pa.Table.from_batches(held)
                left, held, number = left.slice(take), [], 0
            if left.num_rows:
                held.append(left)
                number += left.num_rows
    if held:
        yield pa.Table.from_batches(held)


class _Scorer:
    """Checks, predicts, decides and writes parts."""

    def __init__(self, job: Job, workers: int, tell: Callable[[str], None]) -> None:
        served = job.offer.served
        schema = pa.ipc.read_schema(pa.py_buffer(served.schema))
        self._job, self._served = job, served
        self._features = len(served.features)
        self._outputs = [field.name for field in served.outputs]
        answers = pa.schema([pa.field(name, pa.float64()) for name in self._outputs])
        self.models = Models(launch(facts(job.offer)), answers, workers, tell=tell)
        self._checker = Checker(served, schema)
        self._decider = None if served.silent else decider(served, job.offer.kit.engine)
        self.schema = _schema(served, job)

    async def part(self, number: int, rows: pa.Table) -> None:
        """One part, from rows to a file."""
        first = number * self._job.plan.rows
        if self._job.aside is None:
            sifted = _Sifted(await asyncio.to_thread(self._checked, rows, first), list(range(rows.num_rows)), {})
        else:
            sifted = await asyncio.to_thread(self._sifted, rows)
        if sifted.places:
            answered = await self._predicted(sifted.batch, first)
        else:
            answered = pa.RecordBatch.from_pylist(
                [], pa.schema([pa.field(name, pa.float64()) for name in self._outputs])
            )
        await asyncio.to_thread(self._write, number, rows, sifted, answered)

    def _checked(self, rows: pa.Table, first: int) -> pa.RecordBatch:
        given = {name: rows.column(name).to_pylist() for name in self._checker.names}
        try:
            made = self._checker.rows(given, rows.num_rows, decides=self._decider is not None)
            try:
                return self._checker.table(made.columns)
            except Exception:  # Arrow raises many kinds
                self._checker.refuse_unfit(made)
                raise
        except Wrong as wrong:
            raise _told(wrong, first) from None

    def _sifted(self, rows: pa.Table) -> _Sifted:
        given = {name: self._values(name, rows) for name in self._checker.names}
        places, broken = list(range(rows.num_rows)), dict[int, list[str]]()
        while places:
            made, faults = self._checker.held(given, len(places), decides=self._decider is not None)
            if not faults:
                try:
                    return _Sifted(self._checker.table(made.columns), places, broken)
                except Exception:  # Arrow raises many kinds
                    faults = self._checker.unfit(made)
                    if not faults:
                        raise
            for fault in faults:
                broken.setdefault(places[fault.row], []).append(f"{fault.column} {fault.rule}")
            kept = [each for each in range(len(places)) if places[each] not in broken]
            places = [places[each] for each in kept]
            given = {name: [values[each] for each in kept] for name, values in given.items()}
        return _Sifted(pa.RecordBatch.from_pylist([], self._checker.schema), places, broken)

    def _values(self, name: str, rows: pa.Table) -> list[Any]:
        """A column's values. In a text file one that means nothing makes texts of all: each is read by itself then."""
        values: list[Any] = rows.column(name).to_pylist()
        kind = self._checker.schema.field(name).type
        if not pa.types.is_string(rows.schema.field(name).type) or pa.types.is_string(kind):
            return values
        return [None if each is None else tables.value(each, str(kind)) for each in values]

    async def _predicted(self, batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        """The model's columns; a process that ends is no reason to give up at once."""
        features = batch.select(list(range(self._features)))
        for _ in range(_TRIES):
            process = await self.models.take()
            try:
                return await process.ask(features, SECONDS)
            except ModelFailed as failed:
                raise UserError(
                    f"the model raised {failed.error} for rows {first + 1:,} to {first + batch.num_rows:,}: {failed.message}"[
                        :600
                    ],
                    code="PO-J008",
                    expected="a prediction for every row",
                    remedy="correct the model or the rows, then the same command: parts that are done are not done again",
                ) from None
            except (ModelGone, TimeoutError):
                continue
            finally:
                self.models.done(process)
        raise OutsideError(
            f"the model's process ended {_TRIES} times at rows {first + 1:,} to {first + batch.num_rows:,}",
            code="PO-J009",
            expected="a process that stays",
            remedy="see what it printed; where memory runs out: fewer --workers or a smaller --part, then the same command",
        )

    def _write(self, number: int, rows: pa.Table, sifted: _Sifted, answered: pa.RecordBatch) -> None:
        first, places, broken = number * self._job.plan.rows, sifted.places, sifted.broken
        decisions: Decisions | None = None
        if self._decider is not None and places:
            decisions = self._decider.decide(sifted.batch, answered)
            if self._job.aside is None:
                try:
                    refuse_bad(decisions, 0, len(places))
                except Wrong as wrong:
                    raise _told(wrong, first) from None
            broken |= {places[each]: [f"{name} {AMOUNT}"] for each, name in decisions.bad.items()}
        columns = [pa.array([first + each + 1 for each in places], pa.int64())] if self._job.aside is not None else []
        if self._served.id is not None and self._served.id.name in rows.column_names:
            columns.append(rows.column(self._served.id.name).take(pa.array(places, pa.int64())))
        columns += answered.columns
        for name, found in (("action", "chosen"), ("expected_payoff", "expected")):
            if name in self.schema.names:
                columns.append(
                    pa.array([] if decisions is None else getattr(decisions, found), self.schema.field(name).type)
                )
        table = pa.Table.from_arrays(columns, schema=self.schema)
        if broken:
            table = table.filter(pa.array([each not in broken for each in places], pa.bool_()))
        part = self._job.folder / f"{number:08}.part"
        pq.write_table(table, part, compression="zstd")
        self._job.keep(number, part, self._write_aside(number, rows, broken))

    def _write_aside(self, number: int, rows: pa.Table, broken: dict[int, list[str]]) -> Path | None:
        """The rows that break a promise, as they came, with their numbers in the file and the rules."""
        if self._job.aside is None:
            return None
        places = sorted(broken)
        first = number * self._job.plan.rows + 1
        table = rows.take(pa.array(places, pa.int64()))
        table = table.add_column(0, ROW, pa.array([first + each for each in places], pa.int64()))
        table = table.add_column(1, REASON, pa.array(["; ".join(broken[each]) for each in places], pa.string()))
        part = self._job.folder / f"{number:08}.aside.part"
        pq.write_table(table, part, compression="zstd")
        return part


def _schema(served: Served, job: Job) -> pa.Schema:
    fields = [pa.field(ROW, pa.int64())] if job.aside is not None else []
    if served.id is not None and served.id.name in job.names:
        fields.append(pa.field(served.id.name, job.source.schema().field(served.id.name).type))
    fields += [pa.field(each.name, pa.float64()) for each in served.outputs]
    if not served.silent:
        fields.append(pa.field("action", pa.string() if served.charter.quantity is None else pa.float64()))
        known = served.charter.quantity is None or served.errors is not None
        fields += [pa.field("expected_payoff", pa.float64())] if known else []
    facts = {"payoff.run": served.run, "payoff.model": served.digest, "payoff.currency": served.charter.currency}
    return pa.schema(fields, metadata=facts)


def _join(job: Job, parts: int, schema: pa.Schema) -> tuple[int, float | None, int]:
    """All parts in one file, in their order; its rows, what their decisions are expected to bring, and how many rows are in the file beside it."""
    payoff = 0.0
    decides = "expected_payoff" in schema.names

    def count(table: pa.Table) -> None:
        nonlocal payoff
        payoff += float(table["expected_payoff"].to_numpy().sum()) if decides else 0.0

    whole = job.folder / "whole.part"
    rows = _joined(whole, [job.part(number) for number in range(parts)], schema, count)
    beside, aside = None, 0
    if job.aside is not None:
        given = [job.source.schema().field(name) for name in job.names]
        beside = job.folder / "aside.part"
        fields = [pa.field(ROW, pa.int64()), pa.field(REASON, pa.string()), *given]
        aside = _joined(beside, [job.part_aside(number) for number in range(parts)], pa.schema(fields), lambda _: None)
    job.finish(whole, beside)
    return rows, payoff if decides else None, aside


def _joined(whole: Path, parts: list[Path], schema: pa.Schema, saw: Callable[[pa.Table], None]) -> int:
    rows = 0
    with pq.ParquetWriter(str(whole), schema, compression="zstd") as writer:
        for part in parts:
            table = pq.read_table(part).cast(schema)  # seconds come back as milliseconds
            writer.write_table(table)
            saw(table)
            rows += table.num_rows
    return rows


def _told(wrong: Wrong, first: int) -> UserError:
    """Faults of a part, as rows of the file, from 1."""
    shown: list[Fault] = list(wrong.faults[:5])
    listed = "; ".join(f"row {first + each.row + 1:,}: {each.column} {each.rule}" for each in shown)
    more = f", and {wrong.count - len(shown):,} more" if wrong.count > len(shown) else ""
    return UserError(
        f"{wrong.count:,} values break what is promised of them, the first in row {first + shown[0].row + 1:,}"
        if shown
        else wrong.what,
        code="PO-J007",
        expected=f"rows that keep the contract ({listed}{more})" if shown else "rows that keep the contract",
        remedy="correct the rows, then the same command",
    )
