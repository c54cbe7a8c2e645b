"""Where streams land: tables that grow by transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from payoff.records.stream import Arrival, LandingState, Poison


class Expiring(Protocol):
    """What a landing also does that can forget."""

    def older(self, table: str, before: int) -> tuple[int, int | None]:
        """How many rows and messages set aside are older than a time (microseconds since 1970, UTC), and the time of the oldest."""
        ...

    def expire(self, table: str, before: int) -> int:
        """Remove them for good, in one transaction; answers how many. Positions stay: nothing is read again. Whoever reads the table reads on."""
        ...


class Landing(Protocol):
    """Tables that grow. Safe for several processes at once; a kill at any moment leaves whole transactions only."""

    def state(self, table: str) -> LandingState:
        """How a table stands."""
        ...

    def commit(self, table: str, after: int, arrival: Arrival) -> LandingState | None:
        """Add rows, what was set aside, what was lost and the new positions in one transaction.

        `after` is the number of the transaction that the arrival goes on from. None when another writer came first: nothing
        was added then, and the caller reads the state again.
        """
        ...

    def open(self, table: str, schema: pa.Schema) -> tuple[LandingState, Iterator[pa.RecordBatch]]:
        """A table as it is at this moment, whatever lands meanwhile: partition after partition, each in its order, however it came in batches.

        Rows come in the schema asked for; a column that a batch was landed without is NULL in it, one that was landed with another type is a `UserError`.
        """
        ...

    def set_aside(self, table: str, limit: int = 100) -> list[Poison]:
        """The messages set aside, the newest first."""
        ...

    def tidy(self, table: str) -> None:
        """Join small files, and remove those that a kill left behind. May be called at any time; what is read goes on."""
        ...
