"""`payoff why` names what made the difference between two runs, by executing what lies between them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

PAYOFF = str(Path(sys.executable).with_name("payoff"))
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "why.json").read_text())


def ask(light: Any, *words: str, code: int | None = 0) -> Any:
    found = json.loads(light.command("why", *words, "--json", code=code).stdout)
    if "errors" not in found or "runs" in found:
        jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def ends(light: Any) -> tuple[str, str]:
    runs = [each["run"] for each in light.runs()]
    return runs[1], runs[0]


def test_several_causes_with_their_shares_which_add_up(twice: Any) -> None:
    a, b = ends(twice)
    few = ask(twice, a, b, "--max-runs", "5", code=1)
    assert few["executions"] <= 5
    assert few["verdict"] == "unknown"
    assert "used up" in few["reason"]
    found = ask(twice, a, b)  # and goes on from there
    assert found["verdict"] == "explained"
    assert {(each["kind"], each["name"]) for each in found["causes"]} == {
        ("code", "pipeline.Fitted"), ("parameter", "slope"), ("data", "customers"), ("parameter", "charter costs.run_per_year"),
    }  # fmt: skip
    assert found["unit"] == "EUR"
    parts = [each["effect"] for each in (*found["causes"], *found["interactions"])]
    assert sum(parts) + found["remainder"] == pytest.approx(found["b"] - found["a"])
    assert abs(found["remainder"]) < 1e-6 * abs(found["b"] - found["a"])
    cheaper = next(each for each in found["causes"] if each["name"].startswith("charter"))
    assert cheaper["effect"] == pytest.approx(float(cheaper["a"]) - float(cheaper["b"]))
    assert {"seed:model", "code:pipeline.rates"} <= set(found["innocent"])
    # What was measured is kept: asked again it is known, also of another metric.
    again = ask(twice, a, b)
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in found.items() if k != "seconds"}
    assert again["seconds"] < found["seconds"]
    other = ask(twice, a, b, "--metric", "per_year.model")
    assert {each["name"] for each in other["causes"]} == {"pipeline.Fitted", "slope", "customers"}  # before running costs


def test_a_run_and_itself_again(light: Any) -> None:
    run = light.runs()[0]["run"]
    found = ask(light, run, run)
    assert (found["verdict"], found["causes"], found["factors"]) == ("no-difference", [], [])
    assert found["executions"] <= 2


def test_the_plan_executes_nothing(twice: Any) -> None:
    a, b = ends(twice)
    found = ask(twice, a, b, "--plan")
    assert "verdict" not in found
    assert found["expected"]["factors"] == len(found["factors"]) == 6
    assert not (twice.root / ".payoff/laboratory/work").exists() or not list((twice.root / ".payoff/laboratory/work").iterdir())
    assert "slope" in twice.command("why", a, b, "--plan").stdout


def test_a_failure_is_explained_by_the_code_that_raises(light: Any) -> None:
    first = light.runs()[0]["run"]
    light.change("pipeline.py", "    assert rates.num_rows > 1", "    raise KeyError('x')")
    light.change("pipeline.py", "seed=7", "seed=8")
    second = light.run(code=2)["run"]
    found = ask(light, first, second)
    assert found["verdict"] == "explained"
    assert [(each["kind"], each["name"], each["effect"]) for each in found["causes"]] == [("code", "pipeline.model", None)]
    assert found["errors"]["b"] == "KeyError in model"
    assert "KeyError" in light.command("why", first, second).stdout


def test_a_switch_in_the_environment(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    light.change("pipeline.py", "    return Fitted(slope)", "    import os\n    return Fitted(slope + len(os.environ.get('OMP_SCHEDULE', '')) / 9)")
    first = light.run()["run"]
    monkeypatch.setenv("OMP_SCHEDULE", "static")
    answer = light.run()
    assert {each["name"]: each["because"] for each in answer["steps"] if each["state"] == "ran"}["model"] == ["system OMP_SCHEDULE: (none) -> static"]
    for value in ("static", "", "dynamic"):  # whatever it is where the question is asked
        monkeypatch.setenv("OMP_SCHEDULE", value)
        found = ask(light, first, answer["run"])
        assert [(each["kind"], each["name"], each["b"]) for each in found["causes"]] == [("system", "OMP_SCHEDULE", "static")]
        assert found["verdict"] == "explained"


def test_it_goes_on_where_it_was_stopped(light: Any) -> None:
    light.change("pipeline.py", "slope: float = 0.35", "slope: float = 0.55")
    light.change("pipeline.py", "seed=7", "seed=8")
    a, b = light.first["run"], light.run(code=None)["run"]
    with subprocess.Popen([PAYOFF, "why", a, b, "--json"], cwd=light.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        ledger = light.root / ".payoff/laboratory/ledger.db"
        while process.poll() is None and not measured(ledger):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode not in {0, 3}
    before = measured(ledger)
    assert before
    found = ask(light, a, b)
    assert [each["name"] for each in found["causes"]] == ["slope"]
    assert measured(ledger) == found["executions"]


def measured(ledger: Path) -> int:
    import sqlite3

    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10) as connection:
            return int(connection.execute("select count(*) from journal where event = 'measured'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_a_run_of_some_steps_is_not_held_against_a_whole_one(twice: Any) -> None:
    a, b = ends(twice)
    part = twice.run("--only", "rates")["run"]
    for words in ((a, part), (part, b)):
        error = ask(twice, *words, code=2)["errors"][0]
        assert error["code"] == "PO-Q022"
        assert "made examples, rates and did not fail" in error["what"]
        assert f"payoff why {words[0]} {words[1]} --metric" in error["try"]


def test_wrong_input(twice: Any) -> None:
    a, b = ends(twice)
    found = ask(twice, a, b, "--metric", "gian", code=2)
    assert found["errors"][0]["code"] == "PO-Q021"
    assert "gain" in found["errors"][0]["expected"]
    assert ask(twice, a, "20010101-000000-zzzz", code=2)["errors"]
    assert ask(twice, a, b, "--max-runs", "0", code=2)["errors"]
