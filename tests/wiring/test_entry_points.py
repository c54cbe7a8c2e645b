"""Adapters are found by name; one whose library is not there says which extra brings it, before anything runs."""

from __future__ import annotations

import sys

import pytest

from payoff.base.errors import UserError
from payoff.wiring import entry_points


@pytest.mark.parametrize(
    ("group", "name", "package"),
    [
        ("payoff.sinks", "iceberg", "pyiceberg"),
        ("payoff.sinks", "delta", "deltalake"),
        ("payoff.sinks", "redis", "redis"),
        ("payoff.sinks", "nats", "nats"),
        ("payoff.sinks", "kafka", "confluent_kafka"),
        ("payoff.streams", "kafka", "confluent_kafka"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(group: str, name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entry_points.load(group, name).CAPABILITIES
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as caught:
        entry_points.load(group, name)
    assert (caught.value.code, f"payoff[{name}]" in caught.value.remedy) == ("PO-W003", True)
    assert package in caught.value.what


def test_looking_for_libraries_imports_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "deltalake", raising=False)
    entry_points.load("payoff.sinks", "delta")
    assert "deltalake" not in sys.modules


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        entry_points.load("payoff.sinks", "icebreg")
    assert (caught.value.code, "iceberg" in caught.value.expected) == ("PO-W002", True)
