"""Refuses a model that is not surely worth more than the best common solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict

if TYPE_CHECKING:
    from payoff.records.charter import Charter
    from payoff.records.evidence import Evidence

GATE = GateSpec(
    "PO-G002",
    "the model is worth more than the best common solution",
    "use the common solution, or bring a better model, more decisions a year, or lower costs; the report shows what is missing",
)


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """The lower bound of (model - best common solution), net of running cost, must reach the charter's minimum gain."""
    valuation = evidence.valuation
    if valuation is None:
        return None
    gain, wanted = valuation.gain, float(charter.accept.min_gain_per_year)
    passed = gain.low >= wanted
    currency = valuation.currency
    relation = "reaches" if passed else "does not reach"
    reason = (
        f"at least {gain.low:+,.0f} {currency} a year over {gain.over!r} with {gain.confidence:.0%} confidence, net of running cost: "
        f"{relation} the {wanted:,.0f} {currency} that the charter asks for"
    )
    return Verdict(
        gate="beats_baseline",
        passed=passed,
        reason=reason,
        numbers={"low": gain.low, "mean": gain.mean, "asked": wanted},
    )
