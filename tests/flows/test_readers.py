"""Reports for named readers: what a run says goes to those whose labels permit it, and to nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from conftest import Light

READERS = """
[sources.shops]
kind = "files"
path = "data/shops.csv"

[readers.board]
[readers.analyst]
clearance = "personal"
[readers.owner]
aggregates = { k = 20, steward = "Ada" }
"""
STEPS = """
from payoff import log_metric


@step
def counted(shops: pa.Table) -> pa.Table:
    log_metric("shops", shops.num_rows)
    print("harmless output")
    return shops.slice(0, 2)


@step
def told(train: pa.Table) -> pa.Table:
    log_metric("richest", max(train["lifetime_value"].to_pylist()))
    print("richest of all:", max(train["lifetime_value"].to_pylist()))
    return train.select(["tenure"])


@step(seed=7)
def model(train: pa.Table, rates: pa.Table, counted: pa.Table, told: pa.Table, *, slope: float = 0.35):
"""


@pytest.fixture
def planted(light: Light) -> Light:
    """A step that tells a personal value in all ways there are, and one that tells what anybody may know."""
    (light.root / "data" / "shops.csv").write_text("shop,size\na,1\nb,2\nc,3\n")
    light.change("pipeline.py", "\n@step(seed=7)\ndef model(train: pa.Table, rates: pa.Table, *, slope: float = 0.35):\n", STEPS)
    light.append("payoff.toml", READERS)
    return light


def document(light: Light, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(light.payoff("show", "--json", *words))
    return found


def test_what_a_reader_may_not_see_is_in_no_form_of_the_report(planted: Light) -> None:
    assert planted.run()["status"] == "passed"
    whole = document(planted)
    richest = str(whole["metrics"]["richest"])
    assert whole["reader"] is None
    page = planted.root / "page.html"
    board = document(planted, "--for", "board", "--report", str(page))
    screen = planted.payoff("show", "--for", "board")
    # The planted fault: neither the value nor what is made of it.
    for text in (json.dumps(board), screen, page.read_text()):
        assert richest not in text
        assert "amounts" in text
    assert board["per_year"] is None
    assert board["metrics"] == {"shops": 3, "counted.shops": 3}
    steps = {each["name"]: each for each in board["steps"]}
    assert (steps["told"]["metrics"], steps["told"]["log"]) == ({}, None)
    assert any(each.startswith("metrics, output and errors of told") for each in board["withheld"])
    assert "Not shown to board" in screen
    assert "Not shown to board" in page.read_text()
    # The planted innocent, and what is no data at all.
    assert steps["counted"]["metrics"] == {"shops": 3}
    assert steps["counted"]["log"].endswith("counted.log"), "where its output is"
    assert (board["status"], [each["passed"] for each in board["verdicts"]]) == ("passed", [each["passed"] for each in whole["verdicts"]])
    # Who may see personal data sees all of it.
    analyst = document(planted, "--for", "analyst")
    assert (analyst["withheld"], analyst["metrics"], analyst["per_year"]) == ([], whole["metrics"], whole["per_year"])
    # And who may see figures over many rows sees the money, not what a function says.
    owner = document(planted, "--for", "owner")
    assert owner["per_year"] == whole["per_year"]
    assert "richest" not in owner["metrics"]
    assert richest not in json.dumps(owner)

    file = planted.root / "scored.parquet"
    said = planted.payoff("show", "--predictions", str(file), "--for", "board")
    assert set(pq.ParquetFile(str(file)).schema_arrow.names) == {"id", "outcome"}, said
    planted.payoff("show", "--predictions", str(file), "--for", "analyst")
    assert "action" in pq.ParquetFile(str(file)).schema_arrow.names
    assert "PO-R104" in planted.payoff("show", "--for", "borad", code=2)


def test_a_default_reader_is_whom_pages_and_screens_are_made_for(planted: Light) -> None:
    planted.change("payoff.toml", "[readers.board]\n", "[readers.board]\ndefault = true\n")
    planted.change("pipeline.py", '    log_metric("richest"', '    raise ValueError(f"too rich: {max(train[\'lifetime_value\'].to_pylist())}")\n    log_metric("richest"')
    answer = planted.run(code=2)
    assert (answer["reader"], answer["status"]) == ("board", "failed")
    page = (planted.root / ".payoff" / "reports" / f"{answer['run']}.html").read_text()
    assert str(planted.root) not in page, "it goes to somebody elsewhere"
    for text in (json.dumps(answer), page, planted.payoff("show")):
        assert "too rich" not in text
        assert "told" in text
    assert "too rich" in planted.payoff("show", "--for", "analyst")
    planted.change("payoff.toml", "[readers.owner]\n", "[readers.owner]\ndefault = true\n")
    assert "PO-P019" in planted.payoff("check", code=2)


def test_a_broken_promise_about_a_column_is_not_told_to_who_may_not_see_it(planted: Light) -> None:
    planted.append("data/customers.csv", "999999,10,1,0,100.0,true,x\n")
    whole = planted.run(code=1)
    assert "name" in whole["errors"][0]["what"]
    board = document(planted, "--for", "board")
    assert (board["errors"][0]["code"], board["status"]) == ("PO-R020", "refused")
    assert "promises about customers.name" in board["withheld"]
    assert not any(each["column"] == "name" for each in board["checks"])
    assert any(each["column"] == "tenure" for each in board["checks"]), "of what anybody may know all is told"
    for text in (json.dumps(board["errors"]), planted.payoff("show", "--for", "board")):
        assert "minLength" not in text
        assert "999999" not in text
        assert whole["errors"][0]["what"] not in text
