"""Whole runs under charters of other kinds: more than two outcomes, groups with limits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from conftest import Light

THREE = """
class Fitted:
    classes_ = ["leaves", "pauses", "stays"]

    def __init__(self, slope):
        self.slope = slope

    def predict_proba(self, rows):
        columns = (rows.column(name).to_pylist() for name in ("calls_to_support", "late_payments", "tenure"))
        chances = [1 / (1 + math.exp(3.4 - self.slope * c - 0.7 * l + 0.012 * t)) for c, l, t in zip(*columns)]
        return [[0.6 * chance, 0.4 * chance, 1 - chance] for chance in chances]
"""


def three_outcomes(light: Light) -> None:
    """Who cancels leaves or pauses; each has its own money, and there are three actions."""
    light.change(
        "sql/examples.sql",
        "churned, name",
        "case when not churned then 'stays' when customer_id % 5 < 3 then 'leaves' else 'pauses' end as fate, name",
    )
    pipeline = (light.root / "pipeline.py").read_text()
    start, end = pipeline.index("class Fitted"), pipeline.index("@step\ndef rates")
    light.write(
        "pipeline.py",
        (pipeline[:start] + THREE.lstrip() + "\n\n" + pipeline[end:]).replace(
            '("churned", "count")', '("fate", "count")'
        ),
    )
    light.change("charter.toml", 'column = "churned", positive = true', 'column = "fate", positive = "leaves"')
    payoff = (light.root / "charter.toml").read_text()
    start, end = payoff.index("[payoff]"), payoff.index("[common_solutions]")
    cells = """[payoff]
currency = "EUR"
offer.leaves = "0.3 * lifetime_value - 5"
offer.pauses = -5
offer.stays = -5
letter.leaves = "0.1 * lifetime_value - 1"
letter.pauses = 4
letter.stays = -1
nothing.leaves = 0
nothing.pauses = 0
nothing.stays = 0

"""
    light.write("charter.toml", payoff[:start] + cells + payoff[end:])


def test_three_outcomes_and_three_actions(light: Light) -> None:
    three_outcomes(light)
    answer = light.run()
    assert set(answer["shares"]["model"]) == {"offer", "letter", "nothing"}
    assert answer["per_year"]["perfect"]["mean"] > answer["per_year"]["model"]["mean"] > 0
    assert "auc" not in answer["metrics"], "that of two outcomes"
    file = light.root / "out.parquet"
    light.payoff("show", "latest", "--predictions", str(file))

    rows = pq.read_table(file).to_pylist()
    assert set(rows[0]) == {
        "id",
        "outcome",
        "action",
        "p_leaves",
        "p_pauses",
        "p_stays",
        "payoff_offer",
        "payoff_letter",
        "payoff_nothing",
    }
    assert sum(r[f"payoff_{r['action']}"] for r in rows) / len(rows) == pytest.approx(
        answer["per_decision"]["model"]["mean"], abs=1e-9
    )
    said = light.payoff("worth", "latest", code=None)
    assert "How good must it be?" in said


def test_an_outcome_that_no_payoff_names_is_told(light: Light) -> None:
    three_outcomes(light)
    light.change("charter.toml", 'positive = "leaves"', 'positive = "goes"')
    assert "PO-C003" in light.payoff("check", code=2)
    light.change("charter.toml", 'positive = "goes"', 'positive = "leaves"')
    light.change("sql/examples.sql", "else 'pauses' end", "when customer_id % 5 = 3 then 'pauses' else 'returns' end")
    answer = light.run(code=2)
    assert [each["code"] for each in answer["errors"]] == ["PO-D033"]


def test_groups_with_limits_are_judged(light: Light) -> None:
    light.append(
        "charter.toml",
        "\n[segments.calls_to_support]\ncut = [1, 3]\nmin_gain_per_year = -1000000\nmax_error_gap = 0.9\n",
    )
    passed = light.run()
    assert "groups" in {each["gate"] for each in passed["verdicts"] if each["passed"]}
    assert {each["value"] for each in passed["groups"]} == {"up to 1", "1 to 3", "above 3"}
    assert sum(each["rows"] for each in passed["groups"]) == passed["holdout"]["rows"]
    assert "Groups that the charter names" in light.payoff("show")
    assert "Groups that the charter names" in Path(passed["report"]).read_text()
    light.change("charter.toml", "max_error_gap = 0.9", "max_error_gap = 0.01")
    refused = light.run(code=1)
    (verdict,) = [each for each in refused["verdicts"] if each["gate"] == "groups"]
    assert "calls_to_support" in verdict["reason"]
    light.change("charter.toml", "[segments.calls_to_support]", "[segments.calls_to_suport]")
    assert "PO-D022" in light.payoff("run", code=2)


CAPACITY = """
[capacity]
action = "offer"
at_most = 50
per = "week"
"""


def test_at_most_so_many_a_week(light: Light) -> None:
    light.append("charter.toml", CAPACITY)
    answer = light.run(code=None)
    share = 50 * 52 / 60_000
    shares = answer["shares"]
    for name in ("model", "everyone", "perfect"):
        assert shares[name]["offer"] <= share + 1e-9, name
    assert shares["everyone"]["offer"] == pytest.approx(share, abs=1e-3), "as many as there is room for"
    assert answer["per_year"]["model"]["mean"] < light.first["per_year"]["model"]["mean"]
    assert answer["per_year"]["model"]["mean"] > answer["per_year"]["alternatives"]["callers"]["mean"]
    said = light.payoff("worth", "latest", code=None)
    assert "offer a week" in said, "the capacity is an assumption"
    light.change("charter.toml", "at_most = 50", "at_most = 50\nwithin = 'calls_to_support'")
    wider = light.run(code=None)
    assert wider["shares"]["model"]["offer"] > shares["model"]["offer"]


def test_a_budget_out_of_which_each_row_takes_something_else(light: Light) -> None:
    """250 EUR a week, an offer costs a fiftieth of the customer's value: never more than that is spent."""
    light.append("charter.toml", CAPACITY.replace("at_most = 50", 'budget = 250\ncost = "lifetime_value / 50"'))
    answer = light.run(code=None)
    file = light.root / "out.parquet"
    light.payoff("show", "latest", "--predictions", str(file))
    rows = {row["id"]: row for row in pq.read_table(file).to_pylist()}
    with open(light.root / "data/customers.csv", encoding="utf-8", newline="") as stream:
        costs = {int(row["customer_id"]): float(row["lifetime_value"]) / 50 for row in csv.DictReader(stream)}
    spent = sum(costs[id_] for id_, row in rows.items() if row["action"] == "offer")
    there_is = 250 * 52 * len(rows) / 60_000
    assert spent <= there_is
    assert spent > 0.97 * there_is, "what there is is used"
    assert answer["shares"]["perfect"]["offer"] < 1
    assert "budget a week" in light.payoff("worth", "latest", code=None)
    light.change("charter.toml", "lifetime_value / 50", "lifetime_value - 100000")
    (error,) = light.run(code=2)["errors"]
    assert error["code"] == "PO-D041"
    light.change("charter.toml", "lifetime_value - 100000", "lifetime_valeu")
    assert "PO-D036" in [each["code"] for each in light.run(code=2)["errors"]]


def test_a_capacity_that_says_nothing_is_told(light: Light) -> None:
    light.append("charter.toml", CAPACITY.replace("at_most = 50\n", ""))
    assert "PO-C014" in light.payoff("check", code=2)
    light.change("charter.toml", 'action = "offer"\nper', 'action = "ofer"\nat_most = 5\nper')
    assert "PO-C007" in light.payoff("check", code=2)
