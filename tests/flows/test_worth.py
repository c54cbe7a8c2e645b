"""`payoff worth`: before any model, and of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pyarrow.parquet as pq
import pytest

from payoff.cli.render import worth as screen
from payoff.cli.render import worth_page
from payoff.project.aloud.words import PLAIN
from payoff.records.answers.worth import Worth

if TYPE_CHECKING:
    from conftest import Light

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/worth.json").read_text())
MODEL = '[model]\nstep = "model"\n'


def worth(light: Light, *words: str, code: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(light.payoff("worth", "--json", *words, code=code))
    jsonschema.Draft202012Validator(SCHEMA).validate(answer)
    return answer


def test_before_any_model_the_examples_are_enough(light: Light) -> None:
    light.change("charter.toml", MODEL, "")
    light.write("pipeline.py", '"""No model yet."""\n')
    answer = worth(light)
    prospect = answer["prospect"]
    assert prospect["ceiling"]["low"] < prospect["ceiling"]["mean"] < prospect["ceiling"]["high"]
    best = prospect["per_year"][prospect["best"]]["mean"]
    assert prospect["ceiling"]["mean"] == pytest.approx(prospect["per_year"]["perfect"]["mean"] - best)
    assert prospect["break_even"]["needed"]["gain"] >= prospect["asked_per_year"]
    assert answer["budget"]["looks"] == 1, "the run of before; asking takes no look"
    assert Path(answer["page"]).read_text().count("<svg") > 5
    assert "no model yet" in light.payoff("run", code=2)


def test_what_the_owner_reads_first_needs_no_explaining(light: Light) -> None:
    """By the product's own list of words that an owner need not know."""
    for words in ([], ["latest"]):
        page = Path(worth(light, *words)["page"]).read_text()
        first = re.sub("<[^>]*>", " ", page.partition('<section class="hero')[2].partition("</section>")[0]).lower()
        assert "eur a year" in first
        assert [term for term in PLAIN if re.search(rf"\b{re.escape(term)}\b", first)] == []


def test_what_cannot_pay_is_refused(light: Light) -> None:
    light.change("charter.toml", "run_per_year = ", "run_per_year = 99999")
    answer = worth(light, code=1)
    assert not answer["prospect"]["build"]
    said = light.payoff("worth", code=1)
    assert "Do not build this" in said
    assert "not worth it" in said


def test_where_the_future_would_change_nothing_there_is_nothing_to_build(light: Light) -> None:
    """Nothing costs anything and nothing was promised, and yet no model can add to what is done without one."""
    light.change("charter.toml", '"0.3 * lifetime_value - 5"', "-6")
    for name in ("build = 5000", "run_per_year = 2000", "min_gain_per_year = 1000", "unless_upper_bound_above = 1000"):
        light.change("charter.toml", name, f"{name.split()[0]} = 0")
    answer = worth(light, code=1)
    prospect = answer["prospect"]
    assert (prospect["ceiling"]["high"], prospect["asked_per_year"], prospect["build"]) == (0, 0, False)
    assert prospect["break_even"]["needed"] is None
    assert "Do not build this. Who knew the future would earn no more" in light.payoff("worth", code=1).replace("\n  ", " ")
    assert "Not even a nearly perfect model would pay" in Path(answer["page"]).read_text()


def test_the_screen_and_the_page_say_the_same_of_a_promise_near_the_ceiling(light: Light) -> None:
    ceiling = worth(light)["prospect"]["ceiling"]
    light.change("charter.toml", "run_per_year = 2000", "run_per_year = 0")
    light.change("charter.toml", "min_gain_per_year = 1000", f"min_gain_per_year = {(ceiling['mean'] + ceiling['high']) / 2:.0f}")
    answer = worth(light)
    assert answer["prospect"]["break_even"]["needed"] is None
    says = "only the high end of the interval reaches what it must bring"
    assert says in light.payoff("worth").replace("\n  ", " ")
    page = Path(answer["page"]).read_text()
    assert page.count(says) == 2, "above all, and under the picture"
    assert "Not even" not in page


def test_a_run_is_explained_without_another_look(light: Light) -> None:
    answer = worth(light, "latest", "--history")
    found, first = answer["findings"], light.first
    assert found["gain"]["mean"] == pytest.approx(first["per_year"]["gain"]["mean"])
    assert found["curve"][-1]["gain"] == pytest.approx(found["gain"]["mean"] + answer["prospect"]["run_per_year"])
    assert 0 < found["captured"]["mean"] < 1
    assert answer["budget"]["looks"] == 1
    assert [each["run"] for each in answer["history"]] == [first["run"]]
    names = [each["name"] for each in found["assumptions"]]
    assert "decisions a year" in names
    assert any("offer" in name for name in names)
    columns = set(found["segment_columns"])
    assert "name" not in columns, "a personal column"
    assert columns
    for column in columns:
        rows = [each for each in found["segments"] if each["column"] == column]
        assert sum(each["rows"] for each in rows) == first["holdout"]["rows"]


def test_a_gain_is_told_over_what_is_best_on_the_holdout(light: Light) -> None:
    """Which need not be what is best on the rows that are not held out."""
    found = worth(light, "latest")
    assert found["findings"]["over"] == light.first["per_year"]["gain"]["over"]
    answer = msgspec.convert(found, Worth)
    other = msgspec.structs.replace(answer.findings, over="everyone")
    answer = msgspec.structs.replace(answer, findings=other)
    said = screen.text(answer)
    assert 'more than the best common solution "everyone", net of running cost' in said
    assert 'surest, "everyone" elsewhere' in said
    page = worth_page.text(answer, "2026-11-25T12:00:00Z")
    assert "the best you can do without one, “everyone”" in page
    assert "everywhere else “everyone” decides" in page
    assert "The model&#x27;s decisions against “everyone”" in page


def test_a_run_is_told_by_its_own_charter(light: Light) -> None:
    """Ten times the decisions, costs and promise of today beside the gain of then would be no answer to either question."""
    before = worth(light, "latest")
    assert not before["charter_changed"]
    light.change("charter.toml", "build = 5000", "build = 50000")
    light.change("charter.toml", "min_gain_per_year = 1000", "min_gain_per_year = 30000")
    light.change("charter.toml", "per_year = 60000", "per_year = 600000")
    after = worth(light, "latest")
    assert after["charter_changed"]
    for part in ("prospect", "findings", "decisions_per_year"):
        assert after[part] == before[part]
    says = "The charter has been changed since this run"
    assert says in light.payoff("worth", "latest")
    assert says in Path(after["page"]).read_text()
    assert worth(light)["prospect"]["build_cost"] == 50000


def test_an_assumption_flips_the_verdict_where_it_says(light: Light) -> None:
    """The charter with the number moved there, run again, is refused; with it moved a little less it passes."""
    found = worth(light, "latest")["findings"]
    assert found["passed"]
    volume = next(each for each in found["assumptions"] if each["name"] == "decisions a year")
    (line,) = [each for each in (light.root / "charter.toml").read_text().splitlines() if each.startswith("per_year")]
    for part, code in ((1 + volume["change"] * 1.02, 1), (1 + volume["change"] * 0.98, 0)):
        light.change("charter.toml", line, f"per_year = {round(volume['value'] * part)}")
        light.payoff("run", code=code)
        light.mend()


def test_the_latest_run_is_the_latest_that_judged_a_model(light: Light) -> None:
    """Asking what a model could be worth makes the examples anew when the data changed: a run, but none that could be asked about."""
    light.more_customers()
    worth(light)
    assert worth(light, "latest")["findings"]["run"] == light.first["run"]


def test_a_run_without_a_value_is_told(light: Light) -> None:
    light.change("pipeline.py", "return Fitted(slope)", "raise ValueError('no')")
    light.run(code=2)
    assert "PO-R121" in light.payoff("worth", "latest", code=2)
    assert "PO-R123" in light.payoff("worth", "--html", "/proc/nowhere/page.html", code=2)


def test_predictions_give_the_same_money(light: Light) -> None:
    """Ten lines of arithmetic over the exported predictions."""
    file = light.root / "out.parquet"
    light.payoff("show", "latest", "--predictions", str(file))
    rows = pq.read_table(file).to_pylist()
    total = sum(row[f"payoff_{row['action']}"] for row in rows)
    assert total / len(rows) == pytest.approx(light.first["per_decision"]["model"]["mean"], abs=1e-9)


# -- the kill rule

STOP = "after_runs = 40\nunless_upper_bound_above = 1000"


def test_the_kill_rule_stops_until_the_owner_signs(light: Light) -> None:
    light.change("charter.toml", STOP, "after_runs = 3\nunless_upper_bound_above = 9000000")
    for number in range(2):
        light.change("pipeline.py", "slope: float = 0.35", f"slope: float = 0.3{number}")
        light.run(code=0)
        (light.root / "pipeline.py").write_bytes(light._kept[light.root / "pipeline.py"])
    light.change("pipeline.py", "slope: float = 0.35", "slope: float = 0.4")
    refused = light.run(code=1)
    assert refused["status"] == "refused"
    assert [each["code"] for each in refused["errors"]] == ["PO-R130"]
    assert not refused["steps"], "nothing ran"
    answer = worth(light, "--history")
    assert "kill rule" in answer["budget"]["stopped"]
    assert answer["budget"]["left"] == 0
    assert answer["budget"]["looks"] == 3
    assert len(answer["history"]) == 3
    light.append("charter.toml", '\n[signed]\nby = "somebody else"\non = 2026-11-23\n')
    assert "PO-C013" in light.payoff("run", code=2)
    light.change("charter.toml", "somebody else", "Head of Retention")
    assert light.run(code=0)["holdout"]["looks"] == 4, "the looks do not start again"
    assert worth(light)["budget"]["left"] == 2


def test_the_kill_rule_lets_a_hopeful_project_go_on(light: Light) -> None:
    light.change("charter.toml", STOP, "after_runs = 1\nunless_upper_bound_above = 1000")
    light.change("pipeline.py", "slope: float = 0.35", "slope: float = 0.4")
    assert light.run(code=0)["status"] == "passed"
