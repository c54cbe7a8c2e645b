"""The runs of a project, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.flows.opening import open_past

if TYPE_CHECKING:
    from payoff.records.run import Summary


def runs(project: str | None, limit: int = 20) -> tuple[Summary, ...]:
    """Summaries of the newest runs, unfinished ones included."""
    past = open_past(project)
    return past.kit.ledger.read(past.id, limit=limit).summaries
