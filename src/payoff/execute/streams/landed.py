"""A stream as a table that grows: what it has lands first, then the table is all that ever landed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from payoff.base import hashing, lazy
from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError
from payoff.base.text import count, did_you_mean
from payoff.records.stream import Arrival, Batch, Ingested, LandingState, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from payoff.execute.streams.decode import Decoder
    from payoff.ports.landing import Expiring, Landing
    from payoff.ports.stream import Stream
    from payoff.records.stream import Poison, Positions, StreamOptions
else:
    pa = lazy.Module("pyarrow")

_SIZE = 64 << 20  # bytes of one transaction's messages, about
_WAIT = 1.0  # seconds of one read: so long may a request to stop wait
_TIDY = 64  # transactions between two tidyings


class Landed:
    """See `ports.source.Source`; in addition it can be landed without being read."""

    def __init__(
        self, table: str, stream: Stream, landing: Landing, options: StreamOptions, decoder: Callable[[], Decoder]
    ) -> None:
        self.table = table
        self._stream = stream
        self._landing = landing
        self._options = options
        self._make = decoder
        self._made: Decoder | None = None
        self._until: Positions | None = None
        self._read: LandingState | None = None

    # -- a source

    def schema(self) -> pa.Schema:
        """The declared fields, then where each message was in the stream. The broker is not asked."""
        return self._decoder().schema

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Land what was there when the version was asked for (else: what is there now), then answer with the whole table."""
        schema = self.schema()
        for column in columns or ():
            if column not in schema.names:
                raise UserError(
                    f"{self.table} has no column {column}",
                    code="PO-S002",
                    expected=did_you_mean(column, schema.names),
                    remedy="correct the column's name where it is used",
                )
        chosen = schema if columns is None else pa.schema([schema.field(column) for column in columns])
        self.land(until=self._until)
        self._read, batches = self._landing.open(self.table, chosen)
        return pa.RecordBatchReader.from_batches(chosen, batches)

    def version(self) -> str | None:
        """Where the stream ends now: nothing else changes its table."""
        try:
            self._until = self._stream.end()
        finally:
            self._stream.close()
        expired = self._landing.state(self.table).expired
        return hashing.of_json([self.describe(), self._until, *([expired] if expired else [])])

    def describe(self) -> dict[str, Any]:
        """Where the stream is, and the shape its messages are given."""
        shape = hashing.of_json([[field.name, str(field.type)] for field in self.schema()])
        facts = self._decoder().describe()
        return {**self._stream.describe(), "columns": shape, "unknown": self._options.unknown, **facts}

    def positions(self) -> dict[str, Any]:
        """What of the stream the last `read` answered with: the landing's transaction, its offsets, its rows."""
        state = self._read or LandingState()
        return {"commit": state.commit, "offsets": state.positions, "rows": state.rows, "set_aside": state.set_aside}

    # -- landing

    def state(self) -> LandingState:
        """How the landing stands."""
        return self._landing.state(self.table)

    def older(self, before: int) -> tuple[int, int | None]:
        """How many landed rows and messages set aside are older than a time (microseconds since 1970), and the time of the oldest."""
        return cast("Expiring", self._landing).older(self.table, before) if self.forgets else (0, None)

    def expire(self, before: int) -> int:
        """Remove them from the landing."""
        return cast("Expiring", self._landing).expire(self.table, before) if self.forgets else 0

    @property
    def forgets(self) -> bool:
        """Whether the landing can remove rows."""
        return hasattr(self._landing, "expire")

    def set_aside(self, limit: int = 100) -> list[Poison]:
        """The messages that were no rows, the newest first."""
        return self._landing.set_aside(self.table, limit)

    def land(
        self,
        *,
        until: Positions | None = None,
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[[int], None] = lambda _rows: None,
        accept_loss: bool = False,
        close: bool = True,
    ) -> Ingested:
        """Bring what the stream has into the landing, up to `until` (its end now), batch after batch, each in one transaction with its positions.

        `stop` is asked between batches; `tell` hears how many rows landed. Messages that the broker no longer has are an
        error, unless the loss is accepted: then it is written down.
        """
        began, run = stopwatch(), _Run()
        try:
            state = self._begun()
            until = self._stream.end() if until is None else until
            while not run.done and state.positions != until and not stop():
                state = self._one(state, until, run, accept_loss=accept_loss)
                tell(run.landed)
        finally:
            if close:
                self._stream.close()
        self._few_enough(state)
        return Ingested(
            table=self.table,
            landed=run.landed,
            batches=run.batches,
            set_aside=run.set_aside,
            seconds=stopwatch() - began,
            state=state,
        )

    def close(self) -> None:
        """End the connection to the broker."""
        self._stream.close()

    def _decoder(self) -> Decoder:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _begun(self) -> LandingState:
        state = self._landing.state(self.table)
        if state.commit and state.stream != self._name():
            raise UserError(
                f"{self.table} has rows of another stream",
                code="PO-M009",
                expected=f"the stream that its first rows are from: {state.stream}",
                remedy=f"name the new stream's table otherwise in payoff.toml, or remove .payoff/landing/{self.table}",
            )
        if state.segments > 1:
            self._landing.tidy(self.table)
        return state

    def _name(self) -> str:
        told = self._stream.describe()
        return f"{told['kind']}: {told['stream']}"

    def _one(self, state: LandingState, until: Positions, run: _Run, *, accept_loss: bool) -> LandingState:
        batch = self._stream.read(state.positions, until, self._options.batch_rows, _SIZE, _WAIT)
        if batch.lost and not accept_loss:
            raise self._lost(batch.lost)
        if batch.positions == state.positions:
            run.done = batch.done
            run.waited += 0 if batch.done else _WAIT
            if run.waited >= self._options.patience:
                raise self._silent()
            return state
        run.waited = 0
        rows, aside = self._decoder().decode(batch)
        arrival = Arrival(rows=rows, positions=batch.positions, set_aside=aside, lost=batch.lost, stream=self._name())
        after = self._landing.commit(self.table, state.commit, arrival)
        if after is None:  # another one landed these first: go on from where that one is
            return self._landing.state(self.table)
        run.count(batch, rows.num_rows, len(aside))
        if after.commit % _TIDY == 0:
            self._landing.tidy(self.table)
        return after

    def _lost(self, lost: tuple[Lost, ...]) -> OutsideError:
        first = lost[0]
        number = sum(each.messages or 0 for each in lost)
        said = count(number, "message") if number else "messages"
        return OutsideError(
            f"{self.table}: {said} may be missing: {first.why} (partition {first.partition}, from {first.since} to {first.until})",
            code="PO-M007",
            expected="a broker that keeps messages until they have landed",
            remedy=f"payoff ingest {self.table} --accept-loss goes on after them and writes the loss down",
        )

    def _silent(self) -> OutsideError:
        return OutsideError(
            f"{self.table}: the broker gives no message for {self._options.patience:g} s, though there are some",
            code="PO-M004",
            expected="a broker that answers",
            remedy=f"look at the broker, or give it more patience in [sources.{self.table}]; what landed is kept",
            retryable=True,
        )

    def _few_enough(self, state: LandingState) -> None:
        limit = self._options.set_aside_limit
        if limit is not None and state.set_aside > limit:
            newest = self.set_aside(1)[0]
            raise UserError(
                f"{self.table}: {count(state.set_aside, 'message')} set aside, the newest at {newest.partition}/{newest.offset}: {newest.reason}",
                code="PO-M008",
                expected=f"{limit} at most (set_aside_limit)",
                remedy=f"correct who sends them, or the types in [sources.{self.table}], or raise set_aside_limit",
            )


class _Run:
    """What one landing has done so far."""

    def __init__(self) -> None:
        self.landed = self.batches = self.set_aside = 0
        self.waited = 0.0
        self.done = False

    def count(self, batch: Batch, rows: int, aside: int) -> None:
        """A transaction went through."""
        self.done = batch.done
        self.landed += rows
        self.set_aside += aside
        self.batches += 1
