"""Whole projects under labels: nothing runs while a column would go where it may not; what is lawful runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from conftest import Light

VALUE = "logicalType: number, required: true, classification: personal, customProperties: ["
ZONES = """
[zones.fra]
jurisdictions = ["DE", "EU"]
[zones.vir]
jurisdictions = ["US"]
clearance = "internal"
"""
KEY = "0123456789abcdef-key"


def at(light: Light, zone: str, more: str = "") -> None:
    """The project runs in a zone."""
    light.change("payoff.toml", "[project]\n", f'[project]\nzone = "{zone}"\n')
    light.append("payoff.toml", ZONES + more)


def custom(light: Light, *pairs: tuple[str, str]) -> None:
    """Custom properties of lifetime_value."""
    said = "".join(f"{{ property: {name}, value: {value} }}, " for name, value in pairs)
    light.change("contracts/customers.yaml", VALUE, VALUE + said)


def contract(table: str, **columns: dict[str, Any]) -> str:
    """A contract with classification and custom properties of columns (in JSON, which YAML reads)."""
    properties = [
        {
            "name": name,
            **({"classification": said.pop("classification")} if "classification" in said else {}),
            "customProperties": [{"property": key, "value": value} for key, value in said.items()],
        }
        for name, said in columns.items()
    ]
    head = {"apiVersion": "v3.0.2", "kind": "DataContract", "id": table, "version": "1.0.0", "status": "active"}
    return json.dumps(head | {"schema": [{"name": table, "properties": properties}]})


def new(light: Light, file: str, text: str) -> None:
    (light.root / file).write_text(text, encoding="utf-8")


def findings(light: Light) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(light.payoff("check", "--json", code=None))["findings"]
    others = [each for each in found if each["severity"] == "error" and not each["code"].startswith("PO-F")]
    assert others == []
    return [each for each in found if each["code"].startswith("PO-F")]


def table(light: Light, name: str) -> pa.Table:
    """The newest version of a table in the store."""
    artifact = json.loads(light.payoff("show", "--json"))["tables"][name]
    (file,) = (light.root / ".payoff/store/tables").rglob(f"{artifact['id']}.arrow")
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()


def test_a_column_is_not_brought_where_it_may_not_be(light: Light) -> None:
    at(light, "vir")
    custom(light, ("residency", "[EU]"))
    error = light.refuses(
        "PO-F001",
        "customers.lifetime_value would be brought to zone 'vir'",
        "may be in fra only (contracts/customers.yaml:",
        exit_code=1,
    )
    assert error["try"].startswith("[project] zone = 'fra'")
    record = json.loads(light.payoff("show", "--json"))
    assert all(step["state"] == "skipped" for step in record["steps"]), "nothing ran"
    assert {each["code"] for each in findings(light)} == {"PO-F001", "PO-F002"}, "personal data, and internal at most may be in vir"
    assert "PO-F001" in light.payoff("run", "--dry-run", code=1)


def test_where_it_may_be_it_runs(light: Light) -> None:
    at(light, "fra")
    custom(light, ("residency", "[DE]"))
    assert findings(light) == []
    assert light.run()["status"] == "passed"


def test_labels_are_looked_at_when_nothing_else_changed(light: Light) -> None:
    """What ran before is refused as soon as a rule forbids it."""
    at(light, "fra")
    custom(light, ("residency", "[DE]"))
    assert light.run()["status"] == "passed"
    light.change("payoff.toml", 'zone = "fra"', 'zone = "vir"')
    assert light.run(code=1)["errors"][0]["code"] == "PO-F001"


def test_a_model_is_served_where_what_it_learned_may_be(light: Light) -> None:
    at(light, "fra", '[serving]\nzones = ["vir"]\n')
    (finding,) = findings(light)
    assert finding["code"] == "PO-F002"
    assert "model would be served in zone 'vir'" in finding["what"]
    assert "is personal; at most internal" in finding["what"]
    assert "-> train." in finding["expected"], "the whole way"
    assert "lower " in finding["try"]
    light.change("payoff.toml", 'zones = ["vir"]', 'zones = ["fra"]')
    assert findings(light) == []


def test_what_is_tracked_inherits_labels(light: Light) -> None:
    light.change("payoff.toml", "enabled = false", 'enabled = true\nzone = "vir"')
    at(light, "fra")
    found = findings(light)
    assert {each["code"] for each in found} == {"PO-F002"}
    assert any("a metric of rates could tell it" in each["what"] for each in found), "a function could log what it reads"
    light.change("payoff.toml", 'enabled = true\nzone = "vir"', "enabled = false")
    assert findings(light) == []


def test_a_column_is_used_for_what_it_is_for(light: Light) -> None:
    custom(light, ("purposes", "[retention]"))
    found = findings(light)
    assert {each["code"] for each in found} == {"PO-F003"}
    assert any("[objective] purpose" in each["try"] for each in found)
    light.change("charter.toml", "[objective]\n", '[objective]\npurpose = "marketing"\n')
    assert {each["code"] for each in findings(light)} == {"PO-F003"}
    light.change("charter.toml", '"marketing"', '"retention"')
    assert findings(light) == []


def test_no_model_learns_a_secret(light: Light) -> None:
    light.change("contracts/customers.yaml", "required: true, classification: personal, logicalT", "required: true, classification: secret, logicalT")
    found = findings(light)
    assert "PO-F004" in {each["code"] for each in found}
    assert any("customers.name is secret" in each["what"] for each in found)
    light.change("sql/examples.sql", "churned, name", "churned")
    assert findings(light) == []


SINK = """
[sinks.partner]
kind = "files"
table = "examples"
path = "partner.parquet"
"""


def test_what_is_written_elsewhere_goes_where_it_may(light: Light) -> None:
    at(light, "fra", SINK + 'zone = "vir"  # of the sink')
    finding = next(each for each in findings(light) if "written to sink partner in zone 'vir'" in each["what"])
    assert finding["code"] == "PO-F002"
    assert finding["try"].startswith("[sinks.partner] zone = 'fra'")
    light.change("payoff.toml", 'zone = "vir"  # of the sink', 'zone = "fra"')
    assert findings(light) == []
    light.change("payoff.toml", '"partner.parquet"', '"partner.parquet"\nclearance = "internal" # of the sink')
    assert {each["code"] for each in findings(light)} == {"PO-F002"}
    light.change("payoff.toml", 'clearance = "internal" # of the sink', 'clearance = "personal"\npurpose = "marketing"')
    assert findings(light) == []
    custom(light, ("purposes", "[retention]"))
    light.change("charter.toml", "[objective]\n", '[objective]\npurpose = "retention"\n')
    assert [(each["code"], "sink partner" in each["what"]) for each in findings(light)] == [("PO-F003", True)]


# -- lowering


def lowered(light: Light, **operator: Any) -> None:
    """The names may be in fra only, and go lowered into what the tracker of another zone gets."""
    value = {"to": "internal", "residency": "any", "steward": "Ada", **operator}
    new(light, "contracts/examples.yaml", contract("examples", name={"lowering": value}))


def test_a_keyed_hash_takes_the_place_of_the_column(light: Light, monkeypatch: pytest.MonkeyPatch) -> None:
    lowered(light, operator="hash", key="${NAME_KEY}")
    light.refuses("PO-F011", "the key for hash", exit_code=2)
    monkeypatch.setenv("NAME_KEY", KEY)
    assert light.run()["status"] == "passed"
    names = table(light, "examples")["name"].to_pylist()
    assert all(len(name) == 64 for name in names)
    assert len(set(names)) == len(names), "rows can still be told apart"
    for path in (light.root / ".payoff").rglob("*"):
        if path.is_file() and "environments" not in path.parts:
            assert KEY.encode() not in path.read_bytes(), path


def test_dropping_and_masking(light: Light) -> None:
    lowered(light, operator="drop")
    assert light.run()["status"] == "passed"
    assert "name" not in table(light, "examples").column_names
    lowered(light, operator="mask", keep=0)
    assert light.run()["status"] == "passed"
    assert set(table(light, "examples")["name"].to_pylist()) == {"***"}


GROUPED = "select calls_to_support, count(*) as n, {made} as worth from customers group by 1{having}\n"


@pytest.mark.parametrize(
    ("made", "having", "holds"),
    [
        ("avg(lifetime_value)", " having count(*) >= 20", True),
        ("avg(lifetime_value)", " having count(*) >= 10", False),
        ("avg(lifetime_value)", "", False),
        ("max(lifetime_value)", " having count(*) >= 20", False),
    ],
)
def test_an_aggregate_is_lower_only_when_it_is_proven(light: Light, made: str, having: str, holds: bool) -> None:
    new(light, "sql/worths.sql", GROUPED.format(made=made, having=having))
    value = {"operator": "aggregate", "k": 20, "to": "internal", "residency": "any", "steward": "Ada"}
    new(light, "contracts/worths.yaml", contract("worths", worth={"lowering": value}))
    assert [each["code"] for each in findings(light)] == ([] if holds else ["PO-F010"])


# -- the budget of epsilon


def noisy(light: Light, budget: float | None, epsilon: float = 1.0) -> None:
    value = {"operator": "noise", "key": "${NAME_KEY}", "epsilon": epsilon, "low": 0, "high": 500, "to": "internal", "steward": "Ada"}
    said = json.loads(contract("values", worth={"lowering": value}))
    if budget is not None:
        said["schema"][0]["customProperties"] = [{"property": "epsilon", "value": budget}]
    new(light, "contracts/values.yaml", json.dumps(said))
    new(light, "sql/values.sql", "select customer_id, lifetime_value as worth from customers\n")


def test_versions_with_noise_are_paid_for_until_the_budget_is_spent(light: Light, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME_KEY", KEY)
    noisy(light, 2.0)
    assert findings(light) == []
    only = ("--only", "values")
    light.run(*only)
    light.run(*only, "--force")  # the same content: the same noise, for nothing
    assert "1 of 2 left" in light.payoff("data", "show", "values")
    light.more_customers()
    light.run(*only)
    shown = json.loads(light.payoff("data", "show", "values", "--json"))["show"]["noise"]
    assert shown == {"epsilon": 2.0, "spent": 2.0, "versions": 2, "each": 1.0}
    kept = {path for path in (light.root / ".payoff/store/tables").rglob("*") if path.is_file()}
    light.more_customers(start=9501)
    (error,) = light.run(*only, code=1)["errors"]
    assert error["code"] == "PO-F030"
    assert "0 left" in error["what"]
    fresh = {path for path in (light.root / ".payoff/store/tables").rglob("*") if path.is_file()} - kept
    assert all("worth" not in pa.ipc.open_file(path.read_bytes()).schema.names for path in fresh), "nobody can read it"
    said = json.loads(light.payoff("data", "audit", "values", "--json"))["audit"]
    told = [(each["how"], each["refused"]) for each in reversed(said) if each["how"].startswith("noise")]
    assert told == [
        ("noise, epsilon 1 (1 of 2 left)", ""), ("noise, epsilon 0 (1 of 2 left)", ""), ("noise, epsilon 1 (0 of 2 left)", ""),
        ("noise, epsilon 1 (0 of 2 left)", "PO-F030"),
    ]  # fmt: skip
    light.mend()
    light.run(*only, "--force")  # the first version, once more
    noisy(light, 3.0)
    light.more_customers(start=9501)
    light.run(*only)  # the steward raised the budget


def test_noise_without_a_budget_is_told_and_goes_on(light: Light, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME_KEY", KEY)
    noisy(light, None)
    (finding,) = findings(light)
    assert (finding["code"], finding["severity"]) == ("PO-F031", "warning")
    light.run("--only", "values")
    assert "epsilon 1 spent by 1 version, no budget" in light.payoff("data", "show", "values")
    noisy(light, 0.5)
    assert [(each["code"], each["severity"]) for each in findings(light)] == [("PO-F030", "error")]


# -- what functions make


STEP = """
@step
def scores(customers: pa.Table) -> pa.Table:
    value = customers.column("{used}").to_pylist()
    return pa.table({{"customer_id": customers.column("customer_id"), "score": [float(v) for v in value]}})
"""


@pytest.mark.parametrize(("used", "code"), [("tenure", 0), ("late_payments", 2)])
def test_what_a_function_says_it_depends_on_is_tried(light: Light, used: str, code: int) -> None:
    """The contract says that the score is made of the tenure."""
    light.append("pipeline.py", STEP.format(used=used))
    new(light, "contracts/scores.yaml", contract("scores", score={"depends": ["customers.tenure"]}))
    answer = light.run(code=code)
    assert [each["code"] for each in answer["errors"]] == (["PO-F020"] if code else [])


def test_what_is_made_of_a_personal_column_is_not_shown_either(light: Light) -> None:
    """Under another name, through a query: the groups of `payoff worth RUN` and every page leave it out (what is asked of `light` looks for its values)."""
    light.change("sql/examples.sql", "churned, name", "churned, left(name, 7) as beginning, tenure % 3 as third")
    assert light.run()["status"] == "passed"
    said = light.payoff("worth", "latest", "--html", "page.html")
    assert "third" in said + (light.root / "page.html").read_text()
    assert "geheim" not in (light.root / "page.html").read_text()


LINEAGE = '\n[lineage]\nkind = "openlineage"\npath = ".payoff/events.ndjson"\nzone = "{}"\n'


def secret(light: Light) -> None:
    """A column of secrets that is read, and learned from only as a keyed hash."""
    old = "required: true, classification: personal, logicalT"
    light.change("contracts/customers.yaml", old, old.replace("personal", "secret"))
    lowering = {"operator": "hash", "key": "${NAME_KEY}", "to": "internal", "steward": "Ada Lovelace"}
    new(light, "contracts/examples.yaml", contract("examples", name={"lowering": lowering}))


def test_lineage_does_not_name_a_secret_where_it_may_not_be(light: Light, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME_KEY", KEY)
    at(light, "fra", LINEAGE.format("vir"))
    secret(light)
    (finding,) = findings(light)
    assert finding["code"] == "PO-F002"
    assert "customers.name would be named to the lineage service in zone 'vir'" in finding["what"]
    assert finding["try"].startswith("[lineage] zone = 'fra'")
    assert light.run(code=1)["errors"][0]["code"] == "PO-F002"
    told = light.root / ".payoff/events.ndjson"
    assert '"name": "name"' not in told.read_text(), "the refusal is told, and not the column"


@pytest.mark.parametrize("change", ["at home", "in a zone that may have it", "not secret", "nobody is told"])
def test_lineage_names_what_is_no_secret_there(light: Light, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setenv("NAME_KEY", KEY)
    zone = {"at home": "fra", "in a zone that may have it": "ams"}.get(change, "vir")
    at(light, "fra", '[zones.ams]\njurisdictions = ["EU"]\n' + ("" if change == "nobody is told" else LINEAGE.format(zone)))
    if change != "not secret":
        secret(light)
    assert findings(light) == []
