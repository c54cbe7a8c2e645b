"""A point-in-time join that stands in the pipeline, in whole runs: for queries and functions, with its labels, in the plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from conftest import Light

SOURCES = """
[sources.visits]
kind = "files"
path = "data/visits.csv"

[sources.prices]
kind = "files"
path = "data/prices.csv"
"""
VISITS = "visit,shop,at\n1,a,2026-03-05 12:00:00\n2,a,2026-03-10 12:00:00\n3,b,2026-03-10 12:00:00\n4,a,2026-06-01 12:00:00\n"
PRICES = (
    "store,valid_from,loaded_at,price\na,2026-03-01 00:00:00,2026-03-01 06:00:00,1.0\n"
    "a,2026-03-04 00:00:00,2026-03-09 00:00:00,2.0\na,2026-03-11 00:00:00,2026-03-01 00:00:00,9.0\n"
)
JOIN = """
import payoff
import ibis

priced = payoff.as_of(
    "visits", at="at",
    prices=payoff.facts(by=["shop = store"], valid="valid_from", known="loaded_at", within="30 days", columns=["price"], prefix="then_"),
)


@step
def doubled(priced: pa.Table) -> pa.Table:
    return pa.table({"visit": priced["visit"], "twice": [None if p is None else 2 * p for p in priced["then_price"].to_pylist()]})


@step(seed=7)
def model(train: pa.Table, rates: pa.Table, doubled: pa.Table, counted: pa.Table, *, slope: float = 0.35):
"""


@pytest.fixture
def shop(light: Light) -> Light:
    (light.root / "data" / "visits.csv").write_text(VISITS)
    (light.root / "data" / "prices.csv").write_text(PRICES)
    (light.root / "sql" / "counted.sql").write_text("select shop, count(then_price) as seen from priced group by shop order by shop\n")
    light.append("payoff.toml", SOURCES)
    light.change("pipeline.py", "\n@step(seed=7)\ndef model(train: pa.Table, rates: pa.Table, *, slope: float = 0.35):\n", JOIN.replace("import ibis\n", ""))
    return light


def rows(light: Light, name: str) -> list[tuple[Any, ...]]:
    artifact = json.loads(light.payoff("show", "--json"))["tables"][name]
    (file,) = (light.root / ".payoff/store/tables").rglob(f"{artifact['id']}.arrow")
    with pa.memory_map(str(file)) as source:
        return [tuple(row.values()) for row in pa.ipc.open_file(source).read_all().to_pylist()]


def test_queries_and_functions_take_it_and_late_data_rewrites_nothing(shop: Light) -> None:
    plan = shop.payoff("run", "--dry-run", "--sql")
    assert "query priced (pipeline.py:" in plan
    assert "asof left join" in plan
    assert shop.run()["status"] == "passed"
    # Late data is not seen before it arrived, what lies in the future never, what is older than 30 days no more.
    assert rows(shop, "doubled") == [(1, 2.0), (2, 4.0), (3, None), (4, None)]
    assert rows(shop, "counted") == [("a", 2), ("b", 0)]
    before = json.loads(shop.payoff("show", "--json"))["tables"]["doubled"]["id"]
    # A correction of what held in March that arrives after all visits but the last, and is too old for that one.
    shop.append("data/prices.csv", "a,2026-03-03 00:00:00,2026-05-01 00:00:00,7.0\n")
    answer = shop.run()
    assert {each["name"]: each["state"] for each in answer["steps"]}["priced"] == "ran"
    assert answer["tables"]["doubled"]["id"] == before
    # One that arrived in time is seen.
    shop.append("data/prices.csv", "b,2026-03-10 12:00:00,2026-03-10 12:00:00,5.0\n")
    shop.run()
    assert rows(shop, "doubled") == [(1, 2.0), (2, 4.0), (3, 10.0), (4, None)]


def test_labels_and_lineage_go_through_it(shop: Light) -> None:
    """Not the taken column alone: which fact is taken says something of the times and the keys, too."""
    columns = {"price": {"classification": "personal"}, "valid_from": {"residency": ["EU"]}}
    properties = [
        {"name": name, **({"classification": said["classification"]} if "classification" in said else {"customProperties": [{"property": "residency", "value": said["residency"]}]})}
        for name, said in columns.items()
    ]
    contract = {"apiVersion": "v3.0.2", "kind": "DataContract", "id": "prices", "version": "1.0.0", "status": "active"}
    (shop.root / "contracts" / "prices.yaml").write_text(json.dumps(contract | {"schema": [{"name": "prices", "properties": properties}]}))
    shop.append("payoff.toml", '\n[zones.fra]\njurisdictions = ["DE", "EU"]\n[zones.vir]\njurisdictions = ["US"]\nclearance = "internal"\n')
    shop.change("payoff.toml", "[project]\n", '[project]\nzone = "fra"\n')
    shop.append("payoff.toml", '\n[sinks.partner]\nkind = "files"\ntable = "doubled"\npath = "out/doubled.parquet"\nzone = "vir"\n')
    document = json.loads(shop.payoff("check", "--json", code=None))
    found = {(each["code"], each["what"].split(" ")[0]): each for each in document["findings"] if each["code"].startswith("PO-F")}
    assert {code for code, _ in found} == {"PO-F001", "PO-F002"}
    ways = " ".join(each["what"] + each["expected"] for each in found.values())
    assert "prices.valid_from" in ways
    assert "prices.price" in ways
    assert "priced.then_price" in ways
    lineage = shop.payoff("data", "lineage", "priced.then_price")
    for origin in ("prices.price", "prices.valid_from", "prices.loaded_at", "visits.at"):
        assert origin in lineage


def test_one_that_cannot_be_made_is_told_with_its_line_in_the_pipeline(shop: Light) -> None:
    shop.change("pipeline.py", 'at="at"', 'at="wann"')
    document = json.loads(shop.payoff("check", "--json", code=2))
    (found,) = [each for each in document["findings"] if each["severity"] == "error"]
    assert (found["code"], found["where"]["file"]) == ("PO-D060", "pipeline.py")
    assert "pipeline.py:" in found["try"]
