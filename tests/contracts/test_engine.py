"""DuckDB keeps what every engine promises, and what it alone promises: its options, its closed doors, a full disk."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from payoff.base.errors import OutsideError, UserError
from payoff.testing.engine import EngineSuite, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADAPTER = "payoff.engines:duckdb"


class TestDuckEngine(EngineSuite):
    adapter = "payoff.engines:duckdb"


def written(root: Path, table: pa.Table) -> Path:
    path = root / "t.arrow"
    connect(ADAPTER, root).write(pa.RecordBatchReader.from_batches(table.schema, table.to_batches(10_000)), path)
    return path


@pytest.mark.parametrize("options", [{"memory_limit": "much"}, {"threads": -1}])
def test_options_that_are_none(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(UserError) as caught:
        connect(ADAPTER, tmp_path, options)
    assert caught.value.code == "PO-E006"


def test_little_memory_is_enough_for_a_large_sort(tmp_path: Path) -> None:
    """80 MB of text in 40 MB of memory: what does not fit goes to `.payoff/tmp`, and nothing stays there."""
    file = written(tmp_path, pa.table({"a": [f"{n * 7919 % 400_000:0200d}" for n in range(400_000)]}))
    engine = connect(ADAPTER, tmp_path, {"memory_limit": "40MB", "threads": 1})
    output = tmp_path / "out.arrow"
    engine.transform("select a from t order by a", {"t": file}, output)
    answer = engine.query("select count(*) as n, min(a) as low from o", {"o": output}).to_pylist()
    assert answer == [{"n": 400_000, "low": "0" * 200}]
    assert engine.identify(output) == engine.identify(file)
    assert not [path for path in tmp_path.rglob(".payoff/tmp/**/*") if path.is_file()]


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    file = written(tmp_path, pa.table({"a": list(range(100_000))}))
    engine = connect(ADAPTER, tmp_path, {"memory_limit": "5MB", "threads": 1})
    output = tmp_path / "out.arrow"
    with pytest.raises(OutsideError) as caught:
        engine.transform("select string_agg(repeat(a::varchar, 40), ',') as a from t", {"t": file}, output)
    assert caught.value.code == "PO-E004"
    assert not list(tmp_path.glob("out*"))
    assert engine.query("select count(*) as n from t", {"t": file}).to_pylist() == [{"n": 100_000}]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from enable_logging(level='trace', storage='file', storage_config={'path': '{log}'})",
        "select * from system.main.ENABLE_LOGGING()",
        "select (select count(*) from disable_logging())",
        "with x as (select * from query('select * from enable_' || 'logging()')) select * from x",
        "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "select * from enable_profiling()",
        "select * from duckdb_settings()",
        "select a from t where a in (select 1 from checkpoint())",
    ],
)
def test_functions_that_change_the_engine_are_refused(tmp_path: Path, sql: str) -> None:
    """`enable_logging` passes DuckDB's own locks, and ends the process when it meets them later."""
    file = written(tmp_path, pa.table({"a": [1]}))
    engine = connect(ADAPTER, tmp_path)
    with pytest.raises(UserError) as caught:
        engine.query(sql.replace("{log}", str(tmp_path / "log")), {"t": file})
    assert caught.value.code == "PO-E008"
    assert engine.query("select * from t", {"t": file}).num_rows == 1


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select error(a) from t", "a value does not fit"),
        ("select regexp_matches('x', a) from t", "a value does not fit"),
        ("select strptime(a, '%Y') as a from t", "Could not parse string"),
        ("select a::struct(x int) as a from t", "Type VARCHAR with value"),
        ("select timestamp '2020-01-01' at time zone a as b from t", "a value does not fit"),
        ("select a::json as a from t", "Malformed JSON"),
        ("select cast(a as integer) as b from t", "Could not convert string … to INT32, column a"),
        ("select cast(a as decimal(3, 1)) as b from t", "to DECIMAL(3,1), column a"),
    ],
)
def test_what_is_said_of_values_is_known_beforehand(tmp_path: Path, sql: str, words: str) -> None:
    file = written(tmp_path, pa.table({"a": ["(Secret's when casting from source column Secret"]}))
    with pytest.raises(UserError) as caught:
        connect(ADAPTER, tmp_path).query(sql, {"t": file})
    assert words in caught.value.what
    assert "Secret" not in str(caught.value)


def test_functions_that_make_rows_are_free(tmp_path: Path) -> None:
    sql = "select sum(n) as n from range(4) r(n), unnest([1, 2]) u(m), generate_series(1, 2) g(k)"
    assert connect(ADAPTER, tmp_path).query(sql, {}).to_pylist() == [{"n": 24}]


@pytest.mark.parametrize("kind", [pa.decimal256(50, 2), pa.dense_union([pa.field("x", pa.int64())])])
def test_types_that_the_engine_has_not_are_named(tmp_path: Path, kind: pa.DataType) -> None:
    engine, file = connect(ADAPTER, tmp_path), written(tmp_path, pa.table({"wide": pa.nulls(1, kind)}))
    for call in (lambda: engine.query("select 1 as a from t", {"t": file}), lambda: engine.identify(file)):
        with pytest.raises(UserError, match="column wide"):
            call()


def test_dictionaries_in_lists_do_not_break_the_engine(tmp_path: Path) -> None:
    engine, path = connect(ADAPTER, tmp_path), tmp_path / "step.arrow"
    table = pa.table({"a": pa.nulls(2, pa.list_(pa.dictionary(pa.int8(), pa.string()))), "b": [1, 2]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert engine.identify(path).rows == 2
    assert engine.query("select a, b from t order by b", {"t": path}).to_pylist() == table.to_pylist()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("ending", [".arrow", ".parquet"])
def test_a_full_disk_is_named_and_nothing_half_written_stays(tiny: Path, ending: str) -> None:
    engine, output = connect(ADAPTER, tiny), tiny / f"out{ending}"
    with pytest.raises(OutsideError, match=r"MB free") as caught:
        engine.transform("select n, hash(n) as h from range(1_000_000) r(n)", {}, output)
    assert caught.value.code == "PO-E005"
    assert str(tiny) in caught.value.what
    assert not list(tiny.glob("out*"))
    engine.transform("select 1 as a", {}, output)
    assert output.exists()


def test_a_full_disk_for_what_does_not_fit_into_memory(tiny: Path, tmp_path: Path) -> None:
    file = written(tmp_path, pa.table({"a": [f"{n * 7919 % 400_000:0200d}" for n in range(400_000)]}))
    engine = connect(ADAPTER, tiny, {"memory_limit": "40MB", "threads": 1})
    with pytest.raises(OutsideError) as caught:
        engine.transform("select a from t order by a", {"t": file}, tmp_path / "out.arrow")
    assert caught.value.code in ("PO-E004", "PO-E005")
    assert not list(tmp_path.glob("out*"))
