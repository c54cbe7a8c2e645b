"""Refuses a run whose tables break their contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict

if TYPE_CHECKING:
    from payoff.records.charter import Charter
    from payoff.records.evidence import Evidence

GATE = GateSpec(
    "PO-G001",
    "the data is what its contracts promise",
    "mend the data, or change the promise in contracts/ with the steward's consent; then payoff run",
)
_SHOWN = 5


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """No promise of severity `error` may be broken; None when no table has a contract."""
    if not evidence.checks:
        return None
    broken = [check for check in evidence.checks if not check.passed and check.severity == "error"]
    warned = [check for check in evidence.checks if not check.passed and check.severity == "warning"]
    if not broken:
        more = f", {len(warned)} with a warning" if warned else ""
        return Verdict(gate="contract", passed=True, reason=f"{len(evidence.checks)} promises held{more}")
    said = "; ".join(f"{check.table}: {check.check}: {check.reason}" for check in broken[:_SHOWN])
    rest = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    return Verdict(
        gate="contract", passed=False, reason=f"{len(broken)} of {len(evidence.checks)} promises broken: {said}{rest}"
    )
