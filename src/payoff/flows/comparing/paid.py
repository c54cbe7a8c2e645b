"""What the newer of two runs' decisions bring over the older's: the sum that a change of the project is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.data import differences
from payoff.records.answers.diff import Change

if TYPE_CHECKING:
    from payoff.flows.comparing.rebuilding import Rebuilt
    from payoff.flows.opening import Past
    from payoff.records.artifact import Artifact
    from payoff.records.charter import Charter

_FEW = 30  # decisions: of fewer that both made, nothing is said


def paid(past: Past, a: Rebuilt, b: Rebuilt) -> Change | str:
    """The change in money a year of the decisions that both runs made, by B's charter; else why it cannot be said.

    Pairs are decisions with the same id and the same outcome. No look at the holdout is counted: both models had theirs, and the
    confidence is the one that their looks left.
    """
    charter = b.project.charter
    found = _tables(past, a, b)
    if isinstance(found, str):
        return found
    if a.project.charter.currency != charter.currency:
        return f"A counts in {a.project.charter.currency}, B in {charter.currency}"
    if charter.quantity is not None and not _same_money(a.project.charter, charter):
        return "the charters pay quantities in different ways"
    rows = past.kit.engine.query(
        differences.decisions(charter), {name: past.kit.store.path(each) for name, each in found.items()}
    )
    if rows.num_rows < _FEW:
        return f"only {rows.num_rows} decisions are in both holdouts with the same outcome: {_FEW} are needed"
    if rows["then"].null_count:
        return "A takes actions that B's charter does not have"
    return _change(charter, rows, b)


def _tables(past: Past, a: Rebuilt, b: Rebuilt) -> dict[str, Artifact] | str:
    needed: dict[str, Artifact | None] = {
        "a": a.record.predictions,
        "b": b.record.predictions,
        "e": b.record.tables.get(b.project.charter.decision.examples),
    }
    found: dict[str, Artifact] = {}
    for name, each in needed.items():
        if each is None:
            return f"{name.upper()} has no predictions: its status is {(a if name == 'a' else b).record.status}"
        if not past.kit.store.has(each):
            return f"the {'examples' if name == 'e' else 'predictions'} of {'A' if name == 'a' else 'B'} are no longer in the store"
        found[name] = each
    return found


def _same_money(one: Charter, other: Charter) -> bool:
    return (one.quantity, one.decision.outcome) == (other.quantity, other.decision.outcome)


def _change(charter: Charter, rows: Any, b: Rebuilt) -> Change | str:
    from payoff.value.repeated.change import change
    from payoff.value.rows import blocks
    from payoff.value.valuation import seed_of

    then, now = rows["then"].to_numpy(), rows["now"].to_numpy()
    clusters = None
    if charter.split.by == "time":
        clusters = blocks(rows["unit"].to_numpy())
    elif charter.split.on != charter.decision.id:
        clusters = rows["unit"].combine_chunks().dictionary_encode().indices.to_numpy()
    valuation = b.record.valuation
    confidence = valuation.adjusted if valuation is not None else charter.accept.confidence
    year = charter.decision.per_year
    try:
        made = change(then, now, per_year=year, confidence=confidence, seed=seed_of(b.record.run), clusters=clusters)
    except ValueError as error:
        return f"the decisions that both made do not suffice: {error}"
    return Change(
        mean=made.mean,
        low=made.low,
        high=made.high,
        currency=charter.currency,
        confidence=confidence,
        decisions=rows.num_rows,
        differ=int((then != now).sum()),
    )
