"""Refuses a model that may know what it must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict

if TYPE_CHECKING:
    from payoff.records.charter import Charter
    from payoff.records.evidence import Evidence

GATE = GateSpec(
    "PO-G004",
    "nothing in the examples gives the outcome away",
    "leave the column out of the examples or label it `known: after` in its contract; where it is really known at the decision, say why"
    " (`known: before` with `why`); remove duplicates or split by group; then payoff run",
)


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """Nothing suspicious may be left unexplained; None when the examples were not searched."""
    if evidence.leaks is None:
        return None
    refused = [each for each in evidence.leaks if each.refused]
    explained = [each for each in evidence.leaks if not each.refused]
    numbers = {"suspicious": float(len(refused)), "explained": float(len(explained))}
    also = f"; explained: {', '.join(each.column for each in explained)}" if explained else ""
    if refused:
        reason = "; ".join(each.reason for each in refused) + also
    else:
        reason = f"no duplicates across the split, no column that foretells the outcome, no times after the decision, no shared keys{also}"
    return Verdict(gate="leaks", passed=not refused, reason=reason, numbers=numbers)
