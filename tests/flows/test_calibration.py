"""Chances that are off are put right on train alone, and where that cannot be found out it is said so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from conftest import Light

EXTREME = "chances = [1 / (1 + math.exp(2.5 * (3.4 - self.slope * c - 0.7 * l + 0.012 * t)))"


def shown(light: Light) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(light.payoff("show", "latest", "--json"))
    return found


def test_chances_that_are_off_are_corrected_without_the_holdout(light: Light) -> None:
    """A model whose odds are taken to the power of 2.5."""
    before = light.first["calibration"]
    assert before["applied"] is False
    assert before["rows"] > 200
    light.change("pipeline.py", "chances = [1 / (1 + math.exp(3.4 - self.slope * c - 0.7 * l + 0.012 * t))", EXTREME)
    answer = light.run(code=None)
    found = answer["calibration"]
    assert found["applied"] is True
    assert found["corrected_log_loss"] < found["log_loss"]
    assert 0.2 < found["weights"]["churned"] < 0.7, "about 1 / 2.5"
    assert 0.7 < answer["metrics"]["calibration_slope"] < 1.4, "seen on the holdout, which had no part in it"
    assert "chances were corrected" in " ".join(light.payoff("show", "latest").split())

    file = light.root / "out.parquet"
    light.payoff("show", "latest", "--predictions", str(file))
    rows = pq.read_table(file).to_pylist()
    brier = sum((row["p_churned"] - (row["outcome"] == "churned")) ** 2 for row in rows) / len(rows)
    assert abs(brier - answer["metrics"]["brier"]) < 1e-12
    assert answer["holdout"]["looks"] == light.first["holdout"]["looks"] + 1, "what was set aside is no look"
    assert json.loads(light.payoff("worth", "latest", "--json", code=None))["findings"]["gain"] == {
        name: answer["per_year"]["gain"][name] for name in ("mean", "low", "high")
    }

    light.change("charter.toml", 'step = "model"', 'step = "model"\nrecalibrate = "never"')
    raw = light.run(code=None)
    assert raw["calibration"] is None
    assert raw["metrics"]["calibration_slope"] < 0.6
    assert raw["holdout"]["looks"] == answer["holdout"]["looks"] + 1, "other chances are other decisions: another look"
    assert "too extreme" in light.payoff("show", "latest")


def test_a_model_whose_class_changed_is_another_model(light: Light) -> None:
    """Its pickle is the same: it only names the class."""
    light.change("pipeline.py", "return [[1 - chance, chance] for", "return [[1 - chance / 2, chance / 2] for")
    assert light.run(code=None)["metrics"]["log_loss"] != light.first["metrics"]["log_loss"]


def test_a_model_that_cannot_be_fitted_twice_is_judged_as_it_is(light: Light) -> None:
    rows = next(table["rows"] for name, table in light.first["tables"].items() if name == "train")
    light.change("pipeline.py", "assert rates.num_rows > 1", f"assert train.num_rows == {rows}")
    answer = light.run(code=None)
    assert answer["status"] == "passed"
    assert answer["calibration"]["applied"] is False
    assert "PO-R001" in answer["calibration"]["reason"]
    assert "AssertionError" in answer["calibration"]["reason"]
    assert {stage["name"]: stage["state"] for stage in answer["stages"]}["fit:model"] == "skipped"
    report = next((light.root / ".payoff" / "reports").glob(f"{answer['run']}.html")).read_text()
    assert "could not be found out on train" in report


def test_too_few_rows_say_nothing_and_are_not_asked_again(light: Light) -> None:
    light.change("sql/examples.sql", "from customers", "from customers where customer_id % 8 = 0 or false")
    answer = light.run(code=None)
    if answer["errors"]:
        raise AssertionError(answer["errors"])
    assert "say something" in answer["calibration"]["reason"]
    assert light.run(code=None)["unchanged"] is True
