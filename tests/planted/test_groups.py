"""The gate on groups against a planted fault and planted innocents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from payoff.gates import groups
from payoff.records.charter import SegmentSpec
from payoff.records.evidence import Evidence, GroupValue, Interval
from payoff.testing.samples import sample_charter, sample_valuation


def verdict(gap: tuple[float, float, float], gain: tuple[float, float, float], **limits: Any) -> Any:
    group = GroupValue(
        column="age", value="under 30", rows=500, gain=Interval(*gain), wrong=Interval(0.3, 0.2, 0.4), gap=Interval(*gap)
    )
    charter = msgspec.structs.replace(sample_charter(), segments=(SegmentSpec(column="age", **limits),))
    valuation = msgspec.structs.replace(sample_valuation(), groups=(group,))
    return groups.judge(Evidence(valuation=valuation), charter)


@pytest.mark.parametrize(
    ("gap", "passed"),
    [
        ((0.15, 0.11, 0.19), False),  # surely worse than the tenth that is allowed
        ((-0.15, -0.19, -0.11), False),  # surely better treated than others, beyond the limit
        ((0.15, 0.05, 0.25), True),  # perhaps chance
        ((0.02, 0.01, 0.03), True),
    ],
)
def test_only_what_surely_differs_is_refused(gap: tuple[float, float, float], passed: bool) -> None:  # noqa: FBT001 - a case
    found = verdict(gap, (0.0, -1.0, 1.0), max_error_gap=0.1)
    assert found.passed is passed
    assert passed or "age under 30" in found.reason


@pytest.mark.parametrize(("gain", "passed"), [((-50.0, -80.0, -20.0), False), ((-50.0, -150.0, 50.0), True), ((9.0, 1.0, 17.0), True)])
def test_only_what_surely_loses_is_refused(gain: tuple[float, float, float], passed: bool) -> None:  # noqa: FBT001 - a case
    found = verdict((0.0, -1.0, 1.0), gain, min_gain_per_year=Decimal(0))
    assert found.passed is passed


def test_without_a_limit_there_is_nothing_to_judge() -> None:
    assert verdict((0.5, 0.4, 0.6), (-9.0, -10.0, -8.0)) is None
    assert groups.judge(Evidence(), sample_charter()) is None
