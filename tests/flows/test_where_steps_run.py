"""A run whose lazy steps go to their data has the verdict of one that brings the data here."""

from __future__ import annotations

import csv
import importlib.util
import json
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("flows_postgres", Path(__file__).parents[1] / "contracts" / "postgres.py")
assert _spec and _spec.loader
postgres = importlib.util.module_from_spec(_spec)
sys.modules["flows_postgres"] = postgres
_spec.loader.exec_module(postgres)

FILES = 'kind = "files"\npath = "data/customers.csv"'
CALLS = "select customer_id, count(*) as n from calls group by customer_id\n"
EXAMPLES = """\
select c.customer_id, tenure, coalesce(n, 0) as calls_to_support, late_payments, lifetime_value, churned
from customers as c left join per_customer as p on c.customer_id = p.customer_id
"""


def into_sqlite(light: Any) -> None:
    """The customers and their calls in one SQLite file, and steps that put them together."""
    with open(light.root / "data/customers.csv", encoding="utf-8") as stream:
        people = list(csv.DictReader(stream))
    connection = sqlite3.connect(light.root / "data/shop.db")
    connection.execute(
        "create table customers (customer_id integer, tenure integer, late_payments integer, lifetime_value real, churned boolean, name text)"
    )
    connection.execute("create table calls (customer_id integer)")
    for each in people:
        row = [int(each["customer_id"]), int(each["tenure"]), int(each["late_payments"]), float(each["lifetime_value"])]
        connection.execute("insert into customers values (?, ?, ?, ?, ?, ?)", [*row, each["churned"] == "true", each["name"]])
        connection.executemany("insert into calls values (?)", [[each["customer_id"]]] * int(each["calls_to_support"]))
    connection.commit()
    connection.close()
    lite = 'kind = "sqlite"\npath = "data/shop.db"'
    light.change("payoff.toml", FILES, f"{lite}\n\n[sources.calls]\n{lite}")
    light.write("sql/examples.sql", EXAMPLES)
    (light.root / "sql/per_customer.sql").write_text(CALLS)
    calls = "      - { name: calls_to_support, logicalType: integer, required: true, logicalTypeOptions: { minimum: 0 } }\n"
    light.change("contracts/customers.yaml", calls, "")


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in answer["steps"]}


def test_a_chain_in_sqlite(light: Any) -> None:
    into_sqlite(light)
    shown = json.loads(light.payoff("run", "--dry-run", "--json"))
    assert not [stage for stage in shown["stages"] if stage["kind"] == "read"]
    placed = {each["step"]: each for each in shown["queries"]}
    assert placed["per_customer"]["within"] == ["examples"]
    assert placed["examples"]["place"] == "data/shop.db"
    assert "per_customer runs in SQLite at data/shop.db, as part of examples" in light.payoff("run", "--dry-run")
    assert "LEFT JOIN" in light.payoff("run", "--dry-run", "--sql")
    there = light.run()
    assert there["status"] == "passed", there["errors"]
    assert states(there) == {"per_customer": "ran", "examples": "ran", "rates": "ran", "model": "ran"}
    assert "promises kept" in light.payoff("show")
    again = light.run()
    assert again["run"] == there["run"], "nothing changed"
    light.append("payoff.toml", '\n[run]\npush = "never"\n')
    here = light.run()
    assert states(here)["examples"] == "ran"
    assert states(here)["model"] == "reused", "the examples are the same, so that their model is"
    assert here["per_year"] == there["per_year"]
    light.change("payoff.toml", '\n[run]\npush = "never"\n', "")
    connection = sqlite3.connect(light.root / "data/shop.db")
    connection.execute("update customers set tenure = -5 where customer_id = 7")
    connection.commit()
    connection.close()
    refused = light.run(code=1)
    assert "tenure is at least 0: 1 row of" in refused["errors"][0]["what"]
    light.keeps_secrets()


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with postgres.server() as address:
        postgres.execute(
            address,
            "create table calls (customer_id integer, weight numeric)",
            "insert into calls select g % 50, 0.5 from generate_series(1, 1000) as g",
        )
        yield address


def test_a_step_in_postgresql(light: Any, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DSN", dsn)
    light.change("payoff.toml", FILES, FILES + '\n\n[sources.calls]\nkind = "postgresql"\ndsn = "${SHOP_DSN}"\nzone = "eu"')
    (light.root / "sql/weights.sql").write_text("select customer_id, sum(weight) as w from calls group by customer_id\n")
    first = light.run("--only", "weights")
    assert states(first) == {"weights": "ran"}
    shown = json.loads(light.payoff("run", "--only", "weights", "--dry-run", "--json"))
    assert shown["queries"][0]["zone"] == "eu"
    assert postgres.PASSWORD not in json.dumps(shown)
    assert [stage["because"] for stage in shown["stages"] if stage["name"] == "step:weights"] == [["its source has no version: read on every run"]]
    (light.root / "sql/weights.sql").write_text("select customer_id * cast(9223372036854775807 as bigint) as w from calls where customer_id > 1\n")
    failed = light.run("--only", "weights", code=2)
    error = failed["errors"][0]
    assert error["code"] == "PO-R030"
    assert "step weights, in PostgreSQL at postgresql://127.0.0.1" in error["what"]
    assert "bigint out of range" in error["what"]
    assert 'push = "never"' in error["try"]
    assert postgres.PASSWORD not in json.dumps(failed)


def test_a_database_that_is_down_fails_the_run_and_not_the_plan(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DSN", f"postgresql://tester:{postgres.PASSWORD}@127.0.0.1:{postgres.free_port()}/postgres")
    light.change("payoff.toml", FILES, FILES + '\n\n[sources.calls]\nkind = "postgresql"\ndsn = "${SHOP_DSN}"')
    (light.root / "sql/weights.sql").write_text("select customer_id, sum(weight) as w from calls group by customer_id\n")
    failed = light.run("--only", "weights", code=4)
    assert failed["errors"][0]["code"] == "PO-S032"
    assert light.runs()[0]["status"] == "failed"
    light.payoff("run", "--only", "weights", "--dry-run")
