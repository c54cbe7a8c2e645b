"""Refuses a verdict on a holdout too small for the asked confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict
from payoff.value.size import FEWEST

if TYPE_CHECKING:
    from payoff.records.charter import Charter
    from payoff.records.evidence import Evidence

GATE = GateSpec(
    "PO-G003",
    "the holdout is large enough for the asked confidence",
    "collect more decisions, keep a larger share as holdout ([split] holdout in the charter), or ask for less ([accept] confidence);"
    " then payoff run",
)


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """The holdout must have as many rows as the skewness of the money and the confidence ask for; None without a valuation."""
    valuation = evidence.valuation
    if valuation is None or "rows_needed" not in valuation.metrics:
        return None
    needed = int(valuation.metrics["rows_needed"])
    passed = valuation.rows >= needed
    looks = f" (look {valuation.looks:,} at this holdout)" if valuation.looks > 1 else ""
    sure = f"at {100 * valuation.confidence:g} % confidence{looks}"
    if passed:
        reason = f"{valuation.rows:,} rows, {needed:,} are needed {sure}"
    else:
        reason = f"{valuation.rows:,} rows, but {needed:,} are needed {sure}"
        if needed > FEWEST:
            reason += f": few rows carry most of the money that the model and {valuation.best!r} differ by"
    numbers = {"rows": float(valuation.rows), "needed": float(needed)}
    return Verdict(gate="holdout_size", passed=passed, reason=reason, numbers=numbers)
