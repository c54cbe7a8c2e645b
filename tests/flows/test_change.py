"""What a change of the project does to the money: in `payoff diff`, in the comment of a pull request, in its exit code."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

import pyarrow.parquet as pq
import pytest

SLOPE = "return Fitted(slope)"
BACK = "return Fitted(0.0 * slope - 0.3)"  # offers to those who do not call


def ask(light: Any, *words: str, code: int = 0) -> Any:
    return json.loads(light.payoff("diff", *words, "--json", code=code))


def test_the_change_is_what_the_exported_predictions_say(light: Any) -> None:
    light.change("pipeline.py", SLOPE, "return Fitted(slope * 0.8)")
    light.run(code=None)
    tables = []
    for run in ("latest~1", "latest"):
        light.payoff("show", run, "--predictions", f"{run}.parquet")
        tables.append({row["id"]: row for row in pq.read_table(light.root / f"{run}.parquet").to_pylist()})
    old, new = tables
    assert old.keys() == new.keys()
    parts = [new[each][f"payoff_{new[each]['action']}"] - new[each][f"payoff_{old[each]['action']}"] for each in new]
    found = ask(light, "latest~1", "latest")["change"]
    assert found["decisions"] == len(new)
    assert found["differ"] == sum(part != 0 for part in parts) > 0
    assert found["mean"] == pytest.approx(sum(parts) / len(parts) * 60_000)
    assert found["low"] <= found["mean"] <= found["high"]
    back = ask(light, "latest", "latest~1")["change"]
    assert back["mean"] == pytest.approx(-found["mean"])


def test_a_loss_beyond_doubt_is_refused_and_a_gain_is_not(light: Any) -> None:
    light.change("pipeline.py", SLOPE, BACK)
    light.run(code=None)
    ask(light, "latest~1", "latest")
    said = light.payoff("diff", "latest~1", "latest", "--markdown", "--refuse-loss", code=1)
    assert said.startswith("<!-- payoff -->\n\n## ✗ Payoff: -")
    assert "| gain a year |" in said
    light.payoff("diff", "latest", "latest~1", "--refuse-loss")


def test_what_chance_can_do_is_no_loss(light: Any) -> None:
    light.change("pipeline.py", SLOPE, "return Fitted(slope * 0.999)")
    light.run(code=None)
    found = ask(light, "latest~1", "latest", "--refuse-loss")["change"]
    assert found["low"] <= 0 <= found["high"]
    said = light.payoff("diff", "latest~1", "latest", "--markdown", "--refuse-loss")
    assert "no more than chance" in said or "the same decisions" in said


def test_other_costs_are_no_change_of_decisions(light: Any) -> None:
    text = (light.root / "charter.toml").read_text()
    light.change("charter.toml", next(line for line in text.splitlines() if line.startswith("run_per_year")), "run_per_year = 1")
    light.run(code=None)
    found = ask(light, "latest~1", "latest", "--refuse-loss")
    assert (found["change"]["mean"], found["change"]["differ"]) == (0, 0)
    assert found["gain_after"]["mean"] != found["gain_before"]["mean"]


def test_what_cannot_be_compared_is_said(light: Any) -> None:
    """A run that failed has no predictions; its comment says so, and code in it stays code."""
    light.change("pipeline.py", SLOPE, 'raise KeyError("```\\n# @everyone <b>")')
    light.run(code=None)
    found = ask(light, "latest~1", "latest", "--refuse-loss")
    assert found["change"] is None
    assert "no predictions" in found["apart"]
    said = light.payoff("diff", "latest~1", "latest", "--markdown")
    assert "cannot be said" in said.splitlines()[2]
    (fence,) = {line for line in said.splitlines() if line.startswith("````")} - {"````diff"}
    assert said.count(f"\n{fence}") == 2
    outside = said[: said.index("````diff")]
    assert "@everyone" not in outside
    assert "<b>" not in outside


def test_of_what_is_gone_nothing_is_claimed(light: Any) -> None:
    light.change("pipeline.py", SLOPE, BACK)
    light.run(code=None)
    with contextlib.closing(sqlite3.connect(light.root / ".payoff/ledger.db")) as ledger:
        (body,) = ledger.execute("select body from entries order by number desc limit 1").fetchone()
    digest = json.loads(body)["predictions"]["id"]
    (file,) = [each for each in (light.root / ".payoff/store").rglob("*.arrow") if digest in str(each)]
    file.unlink()
    found = ask(light, "latest~1", "latest")
    assert found["change"] is None
    assert "no longer in the store" in found["apart"]
