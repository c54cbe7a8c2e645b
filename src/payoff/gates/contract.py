"""Refuses a run whose tables break their contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict

if TYPE_CHECKING:
    from payoff.records.charter import Charter
    from payoff.records.evidence import CheckResult, Evidence

GATE = GateSpec(
    "PO-G001",
    "the data is what its contracts promise",
    "mend the data where it is made, or change the promise in contracts/ together with the data's steward; then payoff run",
)
_SHOWN = 5


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """No promise of severity `error` may be broken; None when no promise was checked."""
    checks = evidence.checks
    if not checks:
        return None
    broken = [check for check in checks if not check.passed and check.severity == "error"]
    warned = [check for check in checks if not check.passed and check.severity == "warning"]
    numbers = {"promises": float(len(checks)), "broken": float(len(broken)), "warnings": float(len(warned))}
    also = f"; {count(len(warned), 'warning')}: {_listed(warned)}" if warned else ""
    if broken:
        reason = f"{len(broken):,} of {count(len(checks), 'promise')} broken: {_listed(broken)}{also}"
    else:
        reason = f"{count(len(checks) - len(warned), 'promise')} kept{also}"
    return Verdict(gate="contract", passed=not broken, reason=reason, numbers=numbers)


def _listed(checks: list[CheckResult]) -> str:
    """The first few, each with its table, name and count."""
    said = "; ".join(_one(check) for check in checks[:_SHOWN])
    return said + (f"; and {len(checks) - _SHOWN:,} more" if len(checks) > _SHOWN else "")


def _one(check: CheckResult) -> str:
    return f"{check.table}.{check.check}: " + (check.reason or f"{check.failed:,} of {count(check.rows, 'row')}")
