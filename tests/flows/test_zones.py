"""Two zones: what runs where the data is may answer with an aggregate; the column itself stays where it may be."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Light

MARK = 987654321.25  # a value that stands nowhere else
TOML = """
[sources.people]
kind = "sqlite"
path = "data/people.db"
zone = "fra"
push = "always"
[zones.fra]
jurisdictions = ["EU"]
[zones.vir]
jurisdictions = ["US"]
clearance = "internal"
"""
HEAD = "apiVersion: v3.0.2\nkind: DataContract\nid: c\nversion: 1.0.0\nstatus: active\nschema:\n  - name: {name}\n    properties:\n"
PEOPLE = HEAD.format(name="people") + """\
      - { name: customer_id, classification: internal }
      - { name: worth, classification: personal, customProperties: [{ property: residency, value: [EU] }] }
      - { name: town, classification: internal }
"""
LOWER = "{ operator: aggregate, k: 20, to: internal, residency: any, steward: Ada }"
TOWNS = HEAD.format(name="towns") + f"      - {{ name: mean_worth, customProperties: [{{ property: lowering, value: {LOWER} }}] }}\n"
SQL = "select town, count(*) as n, avg(worth) as mean_worth from people group by town having count(*) >= 20\n"


@pytest.fixture
def zoned(light: Light) -> Light:
    with sqlite3.connect(light.root / "data/people.db") as connection:
        connection.execute("create table people(customer_id integer, worth real, town text)")
        rows = [(number, MARK + number % 5, f"town {number % 7}") for number in range(700)]
        connection.executemany("insert into people values (?, ?, ?)", [*rows, (701, MARK, "village")])
    connection.close()
    light.change("payoff.toml", "[project]\n", '[project]\nzone = "vir"\n')
    light.append("payoff.toml", TOML)
    light.change("contracts/customers.yaml", "required: true, classification: personal, logicalT", "required: true, logicalT")
    light.change("contracts/customers.yaml", "required: true, classification: personal, customP", "required: true, customP")
    (light.root / "contracts/people.yaml").write_text(PEOPLE)
    (light.root / "contracts/towns.yaml").write_text(TOWNS)
    (light.root / "sql/towns.sql").write_text(SQL)
    return light


def findings(light: Light) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(light.payoff("check", "--json", code=None))["findings"]
    return [each for each in found if each["severity"] == "error"]


def test_the_aggregate_crosses_and_the_column_does_not(zoned: Light) -> None:
    assert findings(zoned) == []
    dry = json.loads(zoned.payoff("run", "--dry-run", "--json"))
    assert next(each for each in dry["queries"] if each["step"] == "towns")["zone"] == "fra"
    assert zoned.run("--only", "towns")["status"] == "passed"
    tables = json.loads(zoned.payoff("show", "--json"))["tables"]
    assert tables["towns"]["rows"] == 7, "the village is too small a group"
    assert "people" not in tables
    kept = [path for path in (zoned.root / ".payoff").rglob("*") if path.is_file() and "environments" not in path.parts]
    assert not any(b"village" in path.read_bytes() for path in kept), "its rows never came here"


@pytest.mark.parametrize(
    ("sql", "codes"),
    [
        (SQL.replace(">= 20", ">= 2"), {"PO-F010", "PO-F001", "PO-F002"}),
        (SQL.replace("avg(worth)", "max(worth)"), {"PO-F010", "PO-F001", "PO-F002"}),
        (SQL.replace("from people group", "from people where worth > 5 group"), {"PO-F001", "PO-F002"}),
        ("select town, 1 as mean_worth from people order by worth limit 3", {"PO-F010", "PO-F001", "PO-F002"}),
    ],
)
def test_every_other_way_out_is_closed(zoned: Light, sql: str, codes: set[str]) -> None:
    """Too small groups, a single row's value, a filter on the column that decides over other columns, an order by it."""
    (zoned.root / "sql/towns.sql").write_text(sql)
    assert {each["code"] for each in findings(zoned)} == codes
    answer = zoned.run("--only", "towns", code=1)
    assert answer["tables"] == {}


def test_without_push_down_the_column_would_have_to_come(zoned: Light) -> None:
    zoned.change("payoff.toml", 'push = "always"', 'push = "never"')
    assert {each["code"] for each in findings(zoned)} == {"PO-F001", "PO-F002"}
