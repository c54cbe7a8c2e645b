"""`payoff environments list`."""

from __future__ import annotations

from payoff.flows.environments import known
from payoff.flows.opening import open_past
from payoff.records.answers.environments import Listing


def ls(project: str | None) -> Listing:
    """The environments that are installed for a project, and what has their locks."""
    past = open_past(project)
    kept = known.keeper(past.root).kept()
    whole = {each.digest for each in kept if each.whole}
    lacking = [each.name for each in known.environments(past.root) if each.digest not in whole]
    return Listing(
        environments=tuple(known.listed(past, kept)),
        bytes=sum(each.own_bytes for each in kept),
        lacking=tuple(lacking),
    )
