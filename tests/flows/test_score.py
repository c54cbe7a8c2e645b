"""`payoff score`: a file of rows gets what the run said of them, once each, whatever is killed in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

PAYOFF = str(Path(sys.executable).with_name("payoff"))


def tables(light: Any) -> tuple[pa.Table, dict[Any, dict[str, Any]]]:
    """The holdout, and what the run said of each of its rows."""
    from payoff.flows.opening import open_past
    from payoff.flows.serve.columns import holdout
    from payoff.flows.show import find

    past = open_past(str(light.root))
    record, _ = find(past, "latest")

    def table(artifact: Any) -> pa.Table:
        with pa.memory_map(str(past.kit.store.path(artifact))) as source:
            return pa.ipc.open_file(source).read_all()

    said = table(record.predictions).to_pylist()
    return table(holdout(record)), {row["id"]: row for row in said}


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_every_row_gets_what_the_run_said_of_it(light: Any, ending: str) -> None:
    rows, said = tables(light)
    if ending == "csv":
        pacsv.write_csv(rows, light.root / "rows.csv")
    else:
        pq.write_table(rows, light.root / "rows.parquet")
    text = light.payoff("score", "--input", f"rows.{ending}", "--output", "out/scores.parquet", "--part", "100", "--workers", "2")
    scores = pq.read_table(light.root / "out" / "scores.parquet")
    assert scores["customer_id"].to_pylist() == rows["customer_id"].to_pylist()
    for row in scores.to_pylist():
        assert row["p_True"] == said[row["customer_id"]]["p_churned"]
        assert row["action"] == said[row["customer_id"]]["action"]
    assert f"{sum(scores['expected_payoff'].to_pylist()):,.0f} EUR" in text
    assert scores.schema.metadata[b"payoff.run"].decode() == light.first["run"]
    assert os.listdir(light.root / "out") == ["scores.parquet"]


def test_a_kill_and_the_same_command_again_give_the_same_file(light: Any) -> None:
    rows, _ = tables(light)
    pq.write_table(pa.concat_tables([rows] * 40), light.root / "rows.parquet")
    words = ["score", "--input", "rows.parquet", "--part", "500", "--workers", "1", "--output"]
    light.payoff(*words, "whole.parquet")
    process = subprocess.Popen([PAYOFF, *words, "killed.parquet"], cwd=light.root, start_new_session=True, stderr=subprocess.DEVNULL)
    folder = light.root / ".killed.parquet.parts"
    last = time.monotonic() + 60
    while len(list(folder.glob("*.parquet"))) < 2 and process.poll() is None:
        assert time.monotonic() < last
        time.sleep(0.01)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert not (light.root / "killed.parquet").exists()
    text = light.payoff(*words, "killed.parquet")
    assert "were done before" in text
    assert len(done) >= 2
    assert (light.root / "killed.parquet").read_bytes() == (light.root / "whole.parquet").read_bytes()
    assert not folder.exists()


def test_parts_of_another_input_are_not_taken(light: Any) -> None:
    rows, _ = tables(light)
    pq.write_table(rows, light.root / "rows.parquet")
    folder = light.root / ".scores.parquet.parts"
    folder.mkdir()
    (folder / "plan.json").write_text("{}")
    (folder / "00000000.parquet").write_bytes(b"something else")
    light.payoff("score", "--input", "rows.parquet", "--output", "scores.parquet")
    assert pq.read_table(light.root / "scores.parquet").num_rows == rows.num_rows


def test_wrong_rows_are_named_and_nothing_is_written(light: Any) -> None:
    rows, _ = tables(light)
    names = rows["name"].to_pylist()
    names[70] = "x"
    place = rows.column_names.index("name")
    pq.write_table(rows.set_column(place, "name", pa.array(names)), light.root / "rows.parquet")
    said = light.payoff("score", "--input", "rows.parquet", "--output", "scores.parquet", "--part", "50", code=2)
    assert "PO-J007" in said
    assert "row 71: name is at least 3 long" in said
    assert not (light.root / "scores.parquet").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--input", "rows.parquet", "--output", "scores.csv"), "PO-J006"), (("--input", "short.csv", "--output", "s.parquet"), "PO-J005")],
)
def test_what_cannot_be_scored_is_said(light: Any, words: tuple[str, ...], code: str) -> None:
    (light.root / "short.csv").write_text("customer_id,tenure\n1,2\n")
    assert code in light.payoff("score", *words, code=2)
