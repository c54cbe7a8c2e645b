"""Refuses a model that treats a group of decisions worse than the charter allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.records.charter import Charter, SegmentSpec
    from payoff.records.evidence import Evidence, GroupValue

GATE = GateSpec(
    "PO-G005",
    "no group is treated worse than the charter allows",
    "look into the group (payoff worth RUN shows its money), improve the model for it or decide for it as the common solution does; or change the"
    " limit under [segments] together with the owner; then payoff run",
)


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """No group may surely be beyond a limit of the charter's [segments]; None when there is no limit or no valuation."""
    limits = {each.column: each for each in charter.segments if _limited(each)}
    if evidence.valuation is None or not limits:
        return None
    judged = [each for each in evidence.valuation.groups if each.column in limits]
    broken = [said for each in judged for said in _beyond(each, limits[each.column], charter.currency)]
    numbers = {"groups": float(len(judged)), "beyond": float(len(broken))}
    reason = (
        "; ".join(broken) if broken else f"{len(judged)} groups of {', '.join(limits)} are within the charter's limits"
    )
    return Verdict(gate="groups", passed=not broken, reason=reason, numbers=numbers)


def _limited(each: SegmentSpec) -> bool:
    return each.min_gain_per_year is not None or each.max_error_gap is not None


def _beyond(group: GroupValue, limit: SegmentSpec, currency: str) -> Iterator[str]:
    name = f"{group.column} {group.value}"
    least, most = limit.min_gain_per_year, limit.max_error_gap
    if least is not None and group.gain.high < float(least):
        yield (
            f"{name} gains {group.gain.mean:,.0f} {currency} a year, at most {group.gain.high:,.0f}; the charter asks for {float(least):,.0f}"
        )
    if most is not None and (group.gap.low > most or group.gap.high < -most):
        more = "more" if group.gap.mean > 0 else "fewer"
        sure = group.gap.low if group.gap.mean > 0 else -group.gap.high
        yield (
            f"in {name}, {100 * abs(group.gap.mean):.1f} {more} of 100 decisions turn out wrong than elsewhere, surely {100 * sure:.1f};"
            f" the charter allows {100 * most:g}"
        )
