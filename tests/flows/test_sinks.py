"""A declared join and sinks in whole runs."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

CONFIG = """
[sources.prices]
kind = "files"
path = "data/prices.csv"

[sources.visits]
kind = "files"
path = "data/visits.csv"

[joins.priced]
rows = "visits"
at = "at"

[joins.priced.as_of.prices]
by = ["shop = store"]
valid = "valid_from"
known = "loaded_at"
within = "30 days"
columns = ["price"]
prefix = "then_"

[sinks.priced_file]
kind = "files"
table = "priced"
path = "out/priced.parquet"
purpose = "retention"

[sinks.priced_db]
kind = "sqlite"
table = "priced"
path = "out/all.db"

[sinks.raw]
kind = "files"
table = "visits"
path = "out/visits.jsonl"
when = "passed"
"""
VISITS = "visit,shop,at\n1,a,2026-03-05 12:00:00\n2,a,2026-03-10 12:00:00\n3,b,2026-03-10 12:00:00\n4,a,2026-06-01 12:00:00\n"
PRICES = (
    "store,valid_from,loaded_at,price\na,2026-03-01 00:00:00,2026-03-01 06:00:00,1.0\n"
    "a,2026-03-04 00:00:00,2026-03-09 00:00:00,2.0\na,2026-03-11 00:00:00,2026-03-01 00:00:00,9.0\n"
)


@pytest.fixture
def shop(light: Any) -> Any:
    (light.root / "data" / "visits.csv").write_text(VISITS)
    (light.root / "data" / "prices.csv").write_text(PRICES)
    light.append("payoff.toml", CONFIG)
    yield light
    for name in ("visits", "prices"):
        (light.root / "data" / f"{name}.csv").unlink()


def table(root: Path) -> list[Any]:
    rows = pq.ParquetFile(str(root / "out" / "priced.parquet")).read().to_pylist()
    return [(row["visit"], row["then_price"]) for row in rows]


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {each["sink"]: each["state"] for each in answer["sinks"]}


def test_a_join_and_its_sinks(shop: Any) -> None:
    plan = shop.payoff("run", "--dry-run")
    assert "write priced to the sink priced_file (files)" in plan
    assert "write visits to the sink raw (files), once the gates have passed" in plan
    assert not (shop.root / "out").exists()

    answer = shop.run()
    assert answer["status"] == "passed"
    assert states(answer) == {"priced_file": "written", "priced_db": "written", "raw": "written"}
    # Late data is not seen before it arrived, what lies in the future never, what is older than 30 days no more.
    assert table(shop.root) == [(1, 1.0), (2, 2.0), (3, None), (4, None)]
    with sqlite3.connect(shop.root / "out" / "all.db") as connection:
        assert connection.execute("select count(*) from priced_db").fetchone() == (4,)
    connection.close()
    assert len((shop.root / "out" / "visits.jsonl").read_text().splitlines()) == 4
    written = {each["sink"]: each for each in answer["sinks"]}
    assert written["priced_file"]["rows"] == 4
    assert written["priced_file"]["to"] == "out/priced.parquet"
    assert written["priced_file"]["identity"] == answer["tables"]["priced"]["id"]
    assert "priced_db" in (shop.root / ".payoff" / "reports" / f"{answer['run']}.html").read_text()

    again = shop.run()
    assert again["unchanged"]

    (shop.root / "out" / "priced.parquet").write_bytes(b"PAR1")
    assert "it is put back" in shop.payoff("run", "--dry-run")
    mended = shop.run()
    assert states(mended) == {"priced_file": "written", "priced_db": "unchanged", "raw": "unchanged"}
    assert table(shop.root)[1] == (2, 2.0)

    shop.append("data/visits.csv", "5,a,2026-03-12 12:00:00\n")
    more = shop.run()
    assert states(more) == {"priced_file": "written", "priced_db": "written", "raw": "written"}
    assert table(shop.root)[-1] == (5, 9.0)


def test_what_waits_for_the_gates_is_not_written_when_they_refuse(shop: Any) -> None:
    shop.change("charter.toml", "min_gain_per_year = ", "min_gain_per_year = 9999")
    answer = shop.run(code=1)
    assert answer["status"] == "refused"
    assert states(answer) == {"priced_file": "written", "priced_db": "written", "raw": "skipped"}
    assert not (shop.root / "out" / "visits.jsonl").exists()
    assert (shop.root / "out" / "priced.parquet").exists()
    assert shop.run(code=1)["unchanged"]


def test_a_sink_that_fails_fails_the_run_and_nothing_else(shop: Any) -> None:
    shop.change("payoff.toml", 'path = "out/all.db"', 'path = "charter.toml/all.db"')
    answer = shop.run(code=4)
    assert answer["status"] == "failed"
    assert [error["code"] for error in answer["errors"]] == ["PO-N010"]
    assert states(answer)["priced_file"] == "written"
    assert states(answer)["raw"] == "skipped"


def test_wrong_sections_are_told_with_their_line(shop: Any) -> None:
    shop.change("payoff.toml", 'table = "visits"', 'table = "vistis"')
    shop.change("payoff.toml", 'kind = "sqlite"\ntable', 'kind = "sqlite"\ncolour = "red"\ntable')
    document = json.loads(shop.payoff("check", "--json", code=2))
    found = {each["code"]: each for each in document["findings"]}
    assert "visits" in found["PO-P017"]["expected"]
    shop.change("payoff.toml", 'table = "vistis"', 'table = "visits"')
    document = json.loads(shop.payoff("check", "--json", code=2))
    assert [each["code"] for each in document["findings"] if each["severity"] == "error"] == ["PO-W010"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('at = "at"', 'at = "wann"', "PO-D060"),
        ('rows = "visits"', 'rows = "vists"', "PO-P046"),
        ('valid = "valid_from"', 'valid = "price"', "PO-D062"),
        ('columns = ["price"]', 'columns = []', "PO-P016"),
    ],
)  # fmt: skip
def test_joins_that_cannot_be_made_are_told(shop: Any, old: str, new: str, code: str) -> None:
    shop.change("payoff.toml", old, new)
    document = json.loads(shop.payoff("check", "--json", code=2))
    assert code in [each["code"] for each in document["findings"] if each["severity"] == "error"]
