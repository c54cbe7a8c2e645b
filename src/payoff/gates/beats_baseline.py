"""Refuses a model that is not surely worth more than the best common solution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict
from payoff.value.size import rows_to_decide

if TYPE_CHECKING:
    from payoff.records.charter import Charter
    from payoff.records.evidence import Evidence, Valuation

GATE = GateSpec(
    "PO-G002",
    "worth more than the best common solution",
    "do what the common solution says and leave the model, or improve the model (payoff run tells what the new one is worth), or lower"
    " [costs] run_per_year; payoff show latest has the whole comparison",
)


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """The lower bound of (model - best common solution), net of running cost, must reach the charter's minimum gain; None without a valuation."""
    valuation = evidence.valuation
    if valuation is None:
        return None
    gain, asked = valuation.gain, float(charter.accept.min_gain_per_year)
    passed = gain.low >= asked
    numbers = {"low": gain.low, "mean": gain.mean, "high": gain.high, "asked": asked}
    reason = _passed(valuation, asked) if passed else _refused(valuation, asked)
    return Verdict(gate="beats_baseline", passed=passed, reason=reason, numbers=numbers)


def _passed(valuation: Valuation, asked: float) -> str:
    gain, unit = valuation.gain, f"{valuation.currency} a year"
    return (
        f"it earns {_money(gain.mean)} {unit} more than {gain.over!r} after its running cost, and at least {_money(gain.low)} {unit}"
        f" {_sureness(valuation)}; {_money(asked)} {unit} were asked for"
    )


def _refused(valuation: Valuation, asked: float) -> str:
    gain, unit = valuation.gain, f"{valuation.currency} a year"
    bounds = f"between {_money(gain.low)} and {_money(gain.high)} {unit} {_sureness(valuation)}"
    wanted = f"at least {_money(asked)} {unit} were asked for"
    if gain.mean < 0:
        return f"after its running cost it loses {_money(-gain.mean)} {unit} against {gain.over!r} ({bounds}); {wanted}"
    said = f"it earns {_money(gain.mean)} {unit} more than {gain.over!r} after its running cost, but that may be anything {bounds}"
    rows = rows_to_decide(valuation.rows, mean=gain.mean, low=gain.low, asked=asked)
    enough = (
        f"; if the mean stays, a holdout of about {rows:,} rows (now {valuation.rows:,}) would show it" if rows else ""
    )
    return f"{said}; {wanted}{enough}"


def _sureness(valuation: Valuation) -> str:
    looks = f" after {valuation.looks:,} looks at this holdout" if valuation.looks > 1 else ""
    return f"with {100 * valuation.gain.confidence:g} % confidence{looks}"


def _money(amount: float) -> str:
    """Rounded down, so that "at least" stays true: to units, small amounts to cents."""
    if abs(amount) >= 100 or amount == int(amount):
        return f"{math.floor(amount):,}"
    return f"{math.floor(round(amount * 100, 6)) / 100:,.2f}"
