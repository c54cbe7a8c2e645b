"""What labels permit to be kept for some days is gone after them, with all that was made of it; the rest stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from payoff.flows.data import expire as flow
from payoff.flows.data.history import history


def keep_for(light: Any, column: str, days: int) -> None:
    text = (light.root / "contracts/customers.yaml").read_text()
    line = next(each for each in text.splitlines() if f"{{ name: {column}," in each)
    light.change("contracts/customers.yaml", line, line.replace(f"name: {column},", f"name: {column}, customProperties: [{{ property: retention, value: {days} }}],"))


def later(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    monkeypatch.setattr(flow, "now", lambda: f"{year}-01-01T00:00:00.000Z")


def kept(light: Any) -> set[str]:
    return {file.name for file in (light.root / ".payoff/store").rglob("*") if file.is_file()}


def test_what_is_due_goes_and_what_was_made_of_it(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_for(light, "name", 30)
    root = str(light.root)
    assert flow.expire(root, erase=True) == ()
    before = kept(light)
    later(monkeypatch, 2100)
    due = flow.expire(root, erase=False)
    assert kept(light) == before
    assert {(each.what, each.table) for each in due} >= {("table", "examples"), ("table", "rates"), ("predictions", "examples")}
    assert {(each.days, each.erased) for each in due} == {(30, False)}
    gone = flow.expire(root, erase=True)
    assert [each.version for each in gone] == [each.version for each in due]
    assert all(each.erased for each in gone)
    left = kept(light)
    assert not any(file.endswith(".arrow") for file in left), left
    assert any(file.endswith(".pickle") for file in left)  # the model, which nobody asked for
    assert flow.expire(root, erase=True) == ()
    (version,) = history(root, "customers")
    assert not version.kept
    assert version.expired.startswith("2100-01-01T00:00:00.000Z under ")
    assert len(flow.expire(root, erase=True, models=True)) == 1
    monkeypatch.undo()
    assert "erased 2100" in " ".join(light.payoff("data", "history", "customers").split())
    assert light.run("--force")["status"] == "passed"  # what the source still has is read anew


def test_a_limit_that_is_not_reached_and_none_at_all(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch, 2100)
    assert flow.expire(str(light.root), erase=True) == ()
    keep_for(light, "name", 100_000)
    assert flow.expire(str(light.root), erase=True) == ()
    light.is_whole()


def test_what_a_kill_and_the_laboratory_left_goes_too(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_for(light, "name", 1)
    light.payoff("reproduce", code=None)
    light.change("pipeline.py", '("churned", "count")', '("churned", "max")')
    light.run()
    light.payoff("why", light.first["run"], "latest", code=None)
    later(monkeypatch, 2100)
    flow.expire(str(light.root), erase=True, models=True)
    assert {file for file in kept(light) if file.endswith((".arrow", ".pickle"))} == set()


def test_the_screen_and_the_document(light: Any) -> None:
    assert "nothing is kept for longer" in light.payoff("data", "expire")
    assert json.loads(light.payoff("data", "expire", "--json")) == {"expire": []}
