"""Where runs are shown to people's usual tools, and their lineage to services for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from payoff.records.emission import Emission
    from payoff.records.finding import Finding
    from payoff.records.run import RunRecord


class Tracker(Protocol):
    """Works in a process beside the run, so that its slow imports are not in the run's way."""

    def start(self) -> None:
        """Begin warming up (import, open the store) in the background; returns at once."""
        ...

    def track(self, record: RunRecord, files: dict[str, str]) -> None:
        """Hand over a finished run. `files` names absolute paths: `model`, `report`, `predictions`, `example`. Idempotent per run id."""
        ...

    def finish(self, seconds: float) -> dict[str, dict[str, Any]]:
        """Wait up to `seconds`; answers per run id handed over `{"uri", "run_id"}` (or `{"error"}`) for those that are done.

        What is not done goes on in the background where it can, and is caught up by the next run where it cannot.
        """
        ...

    def address(self) -> dict[str, str]:
        """`uri`, and `command`: what to type to look at it."""
        ...


class Emitter(Protocol):
    """Tells which tables and columns are made of which. Never raises for what is outside, and takes at most 5 seconds."""

    def emit(self, told: Emission) -> Finding | None:
        """Tell of a run, and of earlier ones that could not be told. What is not delivered is kept; then the answer is a warning."""
        ...

    def catch_up(self) -> Finding | None:
        """Tell of earlier runs only."""
        ...
