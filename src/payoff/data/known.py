"""Which columns a model may learn from: those whose values are known when the decision is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.records.charter import Charter
    from payoff.records.contract import Contract


def excluded(charter: Charter, contracts: Iterable[Contract], columns: Iterable[str]) -> dict[str, str]:
    """The columns of the examples that a model may not have, with the reason.

    A column counts as known only after the decision when any contract labels a column of that name so (`known: after`): the label
    follows the name, through steps that keep it.
    """
    reasons = {
        column.name.lower(): column.why or f"{contract.table}'s contract says it is known only after the decision"
        for contract in contracts
        for column in contract.known_after
    }
    outcome = charter.decision.outcome.column
    return {name: reasons[name.lower()] for name in columns if name.lower() in reasons and name != outcome}


def features(charter: Charter, contracts: Iterable[Contract], columns: Iterable[str]) -> tuple[str, ...]:
    """The columns of `train`: all of the examples' (the outcome too) but those known only after the decision."""
    listed = list(columns)
    away = excluded(charter, contracts, listed)
    return tuple(name for name in listed if name not in away)
