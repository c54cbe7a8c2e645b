"""Where run records live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.records.run import Entry, RunRecord, Summary
    from payoff.records.state import Remembered, State


class Ledger(Protocol):
    """Append-only. Safe for several processes at once. Every write is one transaction: a kill leaves a readable ledger."""

    def state(self, project: str) -> State:
        """What is known before a run."""
        ...

    def recall(self, keys: Iterable[str]) -> dict[str, Remembered]:
        """Finished outcomes of steps by key, of any run, finished or not."""
        ...

    def journal(self, project: str, run: str, event: str, body: dict[str, Any]) -> int:
        """Write down something that happened; answers how many events of this kind with the same `body["subject"]` the project now has.

        Events: `started`, `step` (body is a `Remembered`), `look` (subject: the holdout's identity; once per `model`, in whichever run),
        `access` (subject: a table; the body is a `catalog.Access`; the run is empty where it was none),
        `epsilon` (subject: a table; the body is a `catalog.Told`), `expired` (subject: a version; the body is a `catalog.Expiry`),
        `tracked` (subject: the run; body has the tracker's `uri` and `run_id`).
        """
        ...

    def append(self, record: RunRecord) -> Entry:
        """Add a run's record to the hash chain."""
        ...

    def read(self, project: str, run: str | None = None, limit: int = 50, event: str | None = None) -> Readout:
        """One run's entry and events (`run` may be a unique prefix, `latest`, or `latest~2`: two before it), or the newest summaries; with `event` the newest events of
        that kind instead, of all runs and of none, the oldest first.
        """
        ...


class Readout(Protocol):
    """What `read` answers. `entries` is oldest first; `events` are (event, body) of the one run asked for."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The records asked for."""
        ...

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """One line for each run, the newest first."""
        ...

    @property
    def events(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """What was written down of the run."""
        ...
