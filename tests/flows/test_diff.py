"""`payoff diff` says what differs, all of it, and no value of anybody's."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "diff.json").read_text())


def ask(light: Any, *words: str) -> Any:
    found = json.loads(light.payoff("diff", *words, "--json"))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def ends(light: Any) -> tuple[str, str]:
    runs = [each["run"] for each in light.runs()]
    return runs[1], runs[0]


def test_all_that_differs_and_nothing_else(twice: Any) -> None:
    a, b = ends(twice)
    found = ask(twice, a, b)
    assert found["results"][0]["name"] == "gain"
    assert found["results"][0]["unit"] == "EUR"
    assert {each["name"]: each["state"] for each in found["code"]} == {"pipeline.Fitted": "changed", "pipeline.rates": "changed"}
    fitted = next(each["diff"] for each in found["code"] if each["name"] == "pipeline.Fitted")
    assert [line for line in fitted.splitlines() if line.startswith(("+", "-"))] == [
        "-        chances = [1 / (1 + math.exp(3.4 - self.slope * c - 0.7 * l + 0.012 * t)) for c, l, t in zip(*columns)]",
        "+        chances = [1 / (1 + math.exp(3.1 - self.slope * c - 0.7 * l + 0.012 * t)) for c, l, t in zip(*columns)]",
    ]
    (table,) = found["data"]
    assert (table["table"], table["added"], table["removed"], table["changed"], table["columns"]) == ("customers", 20, 0, 0, {})
    assert {(each["id"], each["a"], each["b"]) for each in found["factors"] if not each["id"].startswith("charter")} == {
        ("parameter:model.slope", "0.35", "0.55"), ("seed:model", "7", "8"),
    }  # fmt: skip
    assert [each["id"] for each in found["factors"] if each["id"].startswith("charter")] == ["charter:costs.run_per_year"]
    assert found["machine"] == found["notes"] == []
    screen = twice.payoff("diff", a, b)
    for words in ("gain a year", "EUR", "pipeline.Fitted (changed)", "20 added", "slope", "0.55"):
        assert words in screen


def test_a_run_and_itself(light: Any) -> None:
    run = light.first["run"]
    said = light.payoff("diff", run, run)
    assert "Nothing differs." in said
    assert said.endswith("A and B are the same run.\n")


def test_rows_that_changed_are_counted_by_column(light: Any) -> None:
    lines = (light.root / "data/customers.csv").read_text().splitlines()
    fields = lines[5].split(",")
    fields[1] = str(int(fields[1]) + 1)
    light.change("data/customers.csv", lines[5], ",".join(fields))
    light.change("data/customers.csv", lines[7] + "\n", "")
    light.run(code=None)
    (table,) = ask(light, light.first["run"], "latest")["data"]
    assert (table["added"], table["removed"], table["changed"]) == (0, 1, 1)
    assert table["columns"] == {lines[0].split(",")[1]: 1}
    assert table["key"]


def test_a_run_that_failed(light: Any) -> None:
    light.change("pipeline.py", "    assert rates.num_rows > 1", "    raise KeyError('x')")
    light.run(code=2)
    found = ask(light, light.first["run"])
    assert {"name": "the run", "a": "passed", "b": "failed", "where": ""} in found["outcome"]
    assert any(each["b"] == "KeyError in model" for each in found["outcome"])
    assert [each["name"] for each in found["code"]] == ["pipeline.model"]
    gain = next(each for each in found["results"] if each["name"] == "gain")
    assert gain["b"] is None


def test_what_is_gone_is_said_and_the_rest_answered(twice: Any) -> None:
    a, b = ends(twice)
    twice.append("pipeline.py", "\n# a later change: the working tree is not the run's any more\n")
    for ref in (f"refs/payoff/runs/{b}",):
        subprocess.run(["git", "update-ref", "-d", ref], cwd=twice.root, check=True)
    subprocess.run(["git", "gc", "--quiet", "--prune=now"], cwd=twice.root, check=True)
    for file in (twice.root / ".payoff/store").rglob("*.arrow"):
        file.unlink()
    found = ask(twice, a, b)
    assert any("cannot be compared" in each for each in found["notes"])
    assert found["results"][0]["name"] == "gain"
    assert [each["table"] for each in found["data"]] == ["customers"]
    assert "no longer in the store" in found["data"][0]["note"]


def test_the_machine(light: Any, monkeypatch: Any) -> None:
    light.change("pipeline.py", "    return Fitted(slope)", "    return Fitted(slope + 0)")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    light.run()
    found = ask(light, light.first["run"], "latest")
    assert {(each["id"], each["a"], each["b"]) for each in found["factors"]} == {("system:env:OMP_NUM_THREADS", "", "1")}


def test_wrong_input(light: Any) -> None:
    assert "20010101" in light.payoff("diff", "20010101-000000-zzzz", code=2)


def loaded(light: Any, run: str) -> dict[str, dict[str, Any]]:
    """Step -> what was loaded when it was computed, as the record has it."""
    with contextlib.closing(sqlite3.connect(light.root / ".payoff/ledger.db")) as ledger:
        (body,) = ledger.execute("select body from entries where run = ?", (run,)).fetchone()
    return {each["name"]: each.get("fingerprint", {}) for each in json.loads(body)["steps"]}


def test_a_step_that_was_reused_has_the_fingerprint_of_then(light: Any) -> None:
    """With nothing but a cost changed, the charter differs and no machine."""
    text = (light.root / "charter.toml").read_text()
    cost = next(line for line in text.splitlines() if line.startswith("run_per_year"))
    light.change("charter.toml", cost, "run_per_year = 1")
    again = light.run()
    assert {each["state"] for each in again["steps"] if each["name"] in ("rates", "model")} == {"reused"}
    then = loaded(light, light.first["run"])
    assert then["model"]["cpu"]["model"]
    assert loaded(light, again["run"]) == then
    found = ask(light, light.first["run"], again["run"])
    assert [each["id"] for each in found["factors"]] == ["charter:costs.run_per_year"]
    assert [each["name"] for each in found["results"]][0] == "gain"
    assert found["code"] == found["data"] == found["machine"] == found["outcome"] == found["notes"] == []


def test_a_variable_of_the_shell_makes_steps_stale_and_says_so(light: Any, monkeypatch: Any) -> None:
    """The short way of an unchanged project notices it, too."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Sandybridge")
    again = light.run()
    assert again["run"] != light.first["run"]
    model = next(each for each in again["steps"] if each["name"] == "model")
    assert (model["state"], model["because"]) == ("ran", ["system OPENBLAS_CORETYPE: (none) -> Sandybridge"])
    assert loaded(light, again["run"])["model"]["environment"] == {"OPENBLAS_CORETYPE": "Sandybridge"}
    found = ask(light, light.first["run"], again["run"])
    assert [(each["id"], each["a"], each["b"]) for each in found["factors"]] == [
        ("system:env:OPENBLAS_CORETYPE", "", "Sandybridge")
    ]
    assert "OPENBLAS_CORETYPE" in light.payoff("diff", light.first["run"])


def test_a_column_of_another_type_is_told_and_the_others_compared(light: Any) -> None:
    """Values of two types cannot be held against each other; one that is no number is shown nowhere."""
    lines = (light.root / "data/customers.csv").read_text().splitlines()
    place = lines[0].split(",").index("late_payments")
    changed = [lines[0]]
    for number, line in enumerate(lines[1:]):
        fields = line.split(",")
        if number == 3:
            fields[place] = "geheim"
        if number == 5:
            fields[1] = str(int(fields[1]) + 1)
        changed.append(",".join(fields))
    light.write("data/customers.csv", "\n".join(changed) + "\n")
    light.run(code=None)
    answer = ask(light, light.first["run"])
    (table,) = answer["data"]
    assert table["schema"] == ["late_payments: int64 -> string"]
    assert (table["changed"], table["columns"]) == (1, {lines[0].split(",")[1]: 1})
    light.payoff("diff", light.first["run"])
