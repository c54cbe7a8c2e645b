"""`payoff data`: what stewards ask about tables, on a project that ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

if TYPE_CHECKING:
    from conftest import Light

SCHEMA = Path(__file__).parents[2] / "docs/schemas/data.json"


def ask(light: Light, *words: str) -> Any:
    document = json.loads(light.payoff("data", *words, "--json"))
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    return document[words[0]]


def test_tables_with_their_newest_versions(light: Light) -> None:
    lines = {each["table"]: each for each in ask(light, "ls")}
    assert set(lines) == {"customers", "examples", "rates"}
    assert lines["customers"]["kind"] == "files"
    assert lines["customers"]["rows"] == 8000
    assert lines["customers"]["classification"] == "personal"
    assert lines["customers"]["run"] == light.first["run"]
    assert lines["customers"]["contract"] == "contracts/customers.yaml"
    assert "customers" in light.payoff("data", "ls")


def test_columns_show_no_value_that_their_label_keeps(light: Light) -> None:
    columns = {each["column"]: each for each in ask(light, "show", "customers")["columns"]}
    assert columns["tenure"]["low"] == "1"
    assert len(columns["tenure"]["bars"]) == 12
    assert abs(sum(columns["tenure"]["bars"]) - 1) < 1e-9
    assert columns["customer_id"]["distinct"] == 8000
    assert columns["customer_id"]["promises"] == 2
    assert columns["name"]["label"]["classification"] == "personal"
    assert "low" not in columns["name"] or columns["name"]["low"] is None
    assert not columns["name"].get("bars")
    screen = light.payoff("data", "show", "customers")
    assert "█" in screen
    light.append("payoff.toml", '\n[labels]\nshown = "personal"\n')
    columns = {each["column"]: each for each in ask(light, "show", "customers")["columns"]}
    assert len(columns["lifetime_value"]["bars"]) == 12, "whoever may see more sees more"


def test_samples_are_masked_and_written_down(light: Light) -> None:
    found = ask(light, "sample", "customers", "--rows", "5")
    assert len(found["rows"]) == 5
    assert set(found["masked"]) == {"name", "lifetime_value"}
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    assert {row["name"] for row in rows} == {"•••"}
    assert all(isinstance(row["tenure"], int) for row in rows)
    accesses = ask(light, "audit", "customers")
    assert accesses[0]["how"] == "sample"
    assert "name" not in accesses[0]["columns"], "what was masked was not seen"
    assert "@" in accesses[0]["who"]
    assert {each["how"] for each in ask(light, "audit", "customers.name")} == {"read", "step examples"}
    assert ask(light, "audit")[-1]["run"] == light.first["run"]


def test_versions_tell_what_changed(light: Light) -> None:
    assert len(ask(light, "history", "customers")) == 1
    light.more_customers()
    light.run()
    light.run()
    newest, oldest = ask(light, "history", "customers")
    assert newest["rows"] == oldest["rows"] + 20
    assert newest["added"] == 20
    assert oldest["first"] == oldest["last"] == light.first["run"]


def test_where_a_column_goes(light: Light) -> None:
    found = ask(light, "lineage", "customers.tenure")
    down = {(each["table"], each["column"]): each for each in found["links"] if each["direction"] == "down"}
    assert ("examples", "tenure") in down
    assert ("train", "tenure") in down
    assert found["models"] == ["model"]
    up = ask(light, "lineage", "model")
    assert ("customers", "tenure") in {(each["table"], each["column"]) for each in up["links"] if each["direction"] == "up"}


def test_wrong_questions_say_what_there_is(light: Light) -> None:
    assert "nearest: customers" in light.payoff("data", "show", "custmers", code=2)
    assert "nearest: tenure" in light.payoff("data", "lineage", "customers.tenur", code=2)
    assert "nearest: lineage" in light.payoff("data", "linage", "customers.tenure", code=2)
    assert "needs a table" in light.payoff("data", "sample", code=2)


def test_breaking_changes_since_a_commit(light: Light) -> None:
    assert "PO-P090" not in light.payoff("check", "--against", "HEAD", code=None)
    light.change("contracts/customers.yaml", "name: tenure, logicalType: integer, required: true", "name: tenure, logicalType: integer")
    said = light.payoff("check", "--against", "HEAD", code=2)
    assert "customers: a value may be missing now (tenure), since HEAD" in " ".join(said.split())
    light.change("contracts/customers.yaml", "version: 1.0.0", "version: 2.0.0")
    assert "PO-P090" in light.payoff("check", "--against", "HEAD"), "a warning, under a new major version"
    assert "git knows no commit" in light.payoff("check", "--against", "nowhere", code=2)
