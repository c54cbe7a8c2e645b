"""Where lineage is told: services that show which table and column is made of which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from payoff.records.emission import Emission
    from payoff.records.finding import Finding


class Emitter(Protocol):
    """Never raises for what is outside, and takes at most 5 seconds."""

    def emit(self, told: Emission) -> Finding | None:
        """Tell of a run, and of earlier ones that could not be told. What is not delivered is kept; then the answer is a warning."""
        ...

    def catch_up(self) -> Finding | None:
        """Tell of earlier runs only."""
        ...
