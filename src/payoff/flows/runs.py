"""The runs of a project, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.flows.opening import open_project

if TYPE_CHECKING:
    from payoff.records.run import Summary


def runs(project: str | None, limit: int = 20) -> tuple[Summary, ...]:
    """Summaries of the newest runs, unfinished ones included."""
    opened = open_project(project)
    return opened.kit.ledger.read(opened.project.id, limit=limit).summaries
