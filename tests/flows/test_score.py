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


def spoilt(rows: pa.Table, times: int = 1) -> tuple[pa.Table, dict[int, str]]:
    """Every seventh row breaks a promise, some two; what is broken by its number in the file, from 1."""
    broken: dict[int, str] = {}
    listed = pa.concat_tables([rows] * times).to_pylist()
    for place in range(0, len(listed), 7):
        listed[place]["name"] = "x"
        broken[place + 1] = "name is at least 3 long"
        if place % 2:
            listed[place]["tenure"] = None
            broken[place + 1] = "tenure is required; name is at least 3 long"
    return pa.Table.from_pylist(listed, rows.schema), broken


def test_rows_that_break_a_promise_are_set_aside_with_the_reason(light: Any) -> None:
    rows, said = tables(light)
    wrong, broken = spoilt(rows)
    pq.write_table(wrong, light.root / "rows.parquet")
    words = ("--input", "rows.parquet", "--output", "scores.parquet", "--part", "50")
    assert "PO-J007" in light.payoff("score", *words, code=2), "without a place for them the whole file is refused"
    assert not (light.root / "scores.parquet").exists()
    text = light.payoff("score", *words, "--aside", "out/aside.parquet")
    assert f"{len(broken)} rows break a promise and are in out/aside.parquet" in text
    aside = pq.read_table(light.root / "out" / "aside.parquet").to_pylist()
    assert {row["payoff_row"]: row["payoff_reason"] for row in aside} == broken
    given = wrong.to_pylist()
    for row in aside:
        came = given[row["payoff_row"] - 1]
        assert {name: row[name] for name in row if not name.startswith("payoff_")} == {name: came[name] for name in came if name in row}
    scores = pq.read_table(light.root / "scores.parquet").to_pylist()
    assert [row["payoff_row"] for row in scores] == [n for n in range(1, rows.num_rows + 1) if n not in broken]
    for row in scores:
        assert row["customer_id"] == given[row["payoff_row"] - 1]["customer_id"]
        assert row["p_True"] == said[row["customer_id"]]["p_churned"]
        assert row["action"] == said[row["customer_id"]]["action"]
    # Where all is well the file beside is there and empty, and one of before is not left.
    pq.write_table(rows, light.root / "rows.parquet")
    light.payoff("score", *words, "--aside", "out/aside.parquet")
    assert pq.read_table(light.root / "out" / "aside.parquet").num_rows == 0
    assert pq.read_table(light.root / "scores.parquet").num_rows == rows.num_rows


def test_a_value_that_means_nothing_in_a_text_file_does_not_take_the_others_with_it(light: Any) -> None:
    rows, said = tables(light)
    pacsv.write_csv(rows, light.root / "good.csv")
    head, *lines = (light.root / "good.csv").read_text().splitlines()
    names = head.replace('"', "").split(",")
    cells = lines[4].split(",")
    cells[names.index("tenure")] = "ten"
    lines[4] = ",".join(cells)
    (light.root / "rows.csv").write_text("\n".join([head, *lines]) + "\n")
    light.payoff("score", "--input", "rows.csv", "--output", "scores.parquet", "--aside", "aside.parquet")
    (aside,) = pq.read_table(light.root / "aside.parquet").to_pylist()
    assert (aside["payoff_row"], aside["payoff_reason"], aside["tenure"]) == (5, "tenure is a whole number", "ten")
    scores = pq.read_table(light.root / "scores.parquet").to_pylist()
    assert len(scores) == rows.num_rows - 1
    assert all(row["p_True"] == said[row["customer_id"]]["p_churned"] for row in scores)


def test_nothing_but_wrong_rows_is_no_reason_to_fail(light: Any) -> None:
    rows, _ = tables(light)
    place = rows.column_names.index("name")
    pq.write_table(rows.set_column(place, "name", pa.array(["x"] * rows.num_rows)), light.root / "rows.parquet")
    said = light.payoff("score", "--json", "--input", "rows.parquet", "--output", "s.parquet", "--aside", "a.parquet", "--part", "100")
    assert f'"aside": {rows.num_rows}' in said
    assert pq.read_table(light.root / "s.parquet").num_rows == 0
    assert pq.read_table(light.root / "a.parquet").num_rows == rows.num_rows


def test_a_payoff_that_is_none_is_set_aside_as_well(light: Any) -> None:
    light.change("charter.toml", "0.3 * lifetime_value - 5", "0.3 * lifetime_value - 5 + 0 / (lifetime_value - 100.25)")
    light.run(code=None)
    rows, _ = tables(light)
    values = rows["lifetime_value"].to_pylist()
    values[3] = 100.25
    place = rows.column_names.index("lifetime_value")
    pq.write_table(rows.set_column(place, "lifetime_value", pa.array(values)), light.root / "rows.parquet")
    light.payoff("score", "--anyway", "--input", "rows.parquet", "--output", "s.parquet", "--aside", "a.parquet")
    (aside,) = pq.read_table(light.root / "a.parquet").to_pylist()
    assert aside["payoff_row"] == 4
    assert aside["payoff_reason"] == "payoff.offer.churned is an amount of money for every row"
    assert pq.read_table(light.root / "s.parquet").num_rows == rows.num_rows - 1


def test_a_kill_leaves_both_files_as_they_would_have_been(light: Any) -> None:
    """Killed again and again, at any moment; each time the same command goes on."""
    rows, _ = tables(light)
    wrong, broken = spoilt(rows, 20)
    pq.write_table(wrong, light.root / "rows.parquet")
    words = ["score", "--input", "rows.parquet", "--part", "300", "--workers", "1"]
    light.payoff(*words, "--output", "whole.parquet", "--aside", "whole-aside.parquet")
    command = [PAYOFF, *words, "--output", "killed.parquet", "--aside", "killed-aside.parquet"]
    folder = light.root / ".killed.parquet.parts"
    for done in (1, 5):
        process = subprocess.Popen(command, cwd=light.root, start_new_session=True, stderr=subprocess.DEVNULL)
        last = time.monotonic() + 60
        while len(list(folder.glob("*.parquet"))) < done and process.poll() is None:
            assert time.monotonic() < last
            time.sleep(0.002)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (light.root / "killed.parquet").exists()
    newest = max(folder.glob("*.parquet"))
    newest.unlink()  # killed between the two files of a part
    text = light.payoff(*command[1:])
    assert "were done before" in text
    for name in ("", "-aside"):
        assert (light.root / f"killed{name}.parquet").read_bytes() == (light.root / f"whole{name}.parquet").read_bytes()
    rows_ = [pq.read_table(light.root / f"killed{name}.parquet")["payoff_row"].to_pylist() for name in ("", "-aside")]
    assert sorted(rows_[0] + rows_[1]) == list(range(1, wrong.num_rows + 1)), "each row once"
    assert set(rows_[1]) == set(broken)
    assert not folder.exists()


@pytest.mark.parametrize("aside", ["aside.csv", "./scores.parquet"])
def test_where_rows_cannot_be_set_aside_is_said(light: Any, aside: str) -> None:
    assert "PO-J006" in light.payoff("score", "--input", "rows.parquet", "--output", "scores.parquet", "--aside", aside, code=2)
