"""The contract suite of engines.

Inherit it in a test file and name the adapter; pytest does the rest:

    class TestMyEngine(EngineSuite):
        adapter = "payoff.engines:mine"
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import PayoffError, UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from payoff.ports.engine import Engine


def connect(adapter: str, root: Path) -> Engine:
    """The engine that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    (point,) = importlib.metadata.entry_points(group=group, name=name)
    module = point.load()
    engine: Engine = module.connect(root, module.Options())
    return engine


def typed() -> pa.Table:
    """A row of each type that tables have, and one without any value."""
    import pyarrow as pa

    moment = dt.datetime(2026, 11, 23, 12, 30, 0, 123456)  # noqa: DTZ001 - a column without a zone
    columns: dict[str, tuple[Any, pa.DataType]] = {
        "whole": (2**62, pa.int64()),
        "small": (-7, pa.int8()),
        "unsigned": (2**64 - 1, pa.uint64()),
        "number": (0.1, pa.float64()),
        "single": (0.5, pa.float32()),
        "truth": (True, pa.bool_()),
        "text": ("Größe 数", pa.string()),
        "raw": (b"\x00\xff", pa.binary()),
        "day": (dt.date(2026, 2, 28), pa.date32()),
        "moment": (moment, pa.timestamp("us")),
        "instant": (moment.replace(tzinfo=dt.UTC), pa.timestamp("us", "UTC")),
        "money": (Decimal("12345678901234.56"), pa.decimal128(18, 2)),
        "many": ([1, 2, None], pa.list_(pa.int64())),
        "parts": ({"a": 1, "b": "x"}, pa.struct([("a", pa.int64()), ("b", pa.string())])),
    }
    arrays = {name: pa.array([value, None], kind) for name, (value, kind) in columns.items()}
    return pa.table(arrays)


class EngineSuite:
    """What every engine does."""

    adapter: ClassVar[str] = ""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        """The engine of a project that has nothing yet."""
        return connect(self.adapter, tmp_path)

    def file(self, engine: Engine, folder: Path, name: str, table: pa.Table, batch: int | None = None) -> Path:
        """A table as a file."""
        import pyarrow as pa

        path = folder / f"{name}.arrow"
        engine.write(pa.RecordBatchReader.from_batches(table.schema, table.to_batches(batch)), path)
        return path

    def identity(self, engine: Engine, folder: Path, table: pa.Table, batch: int | None = None) -> str:
        """The content hash of a table."""
        return engine.identify(self.file(engine, folder, "t", table, batch)).hash

    def test_tables_come_back_as_they_were(self, engine: Engine, tmp_path: Path) -> None:
        table = typed()
        file = self.file(engine, tmp_path, "t", table)
        answer = engine.query("select * from t", {"t": file})
        assert answer.to_pylist() == table.to_pylist()
        assert answer.schema.names == table.schema.names
        found = engine.identify(file)
        assert (found.rows, [field.name for field in found.fields]) == (2, table.schema.names)

    @pytest.mark.parametrize("ending", [".arrow", ".parquet"])
    def test_a_query_is_written_to_a_file(self, engine: Engine, tmp_path: Path, ending: str) -> None:
        import pyarrow.parquet as pq

        file = self.file(engine, tmp_path, "t", typed())
        output = tmp_path / f"out{ending}"
        engine.transform("select whole, text from t where whole is not null", {"t": file}, output)
        if ending == ".parquet":
            rows = pq.read_table(output).to_pylist()
        else:
            rows = engine.query("select * from o", {"o": output}).to_pylist()
        assert rows == [{"whole": 2**62, "text": "Größe 数"}]

    def test_content_does_not_depend_on_order_or_batches(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        table = pa.table({"id": list(range(5000)), "text": [f"t{n % 7}" for n in range(5000)]})
        one = self.identity(engine, tmp_path, table)
        assert self.identity(engine, tmp_path, table.take(list(range(5000))[::-1])) == one
        assert self.identity(engine, tmp_path, table, batch=17) == one

    def test_content_does_not_depend_on_how_text_is_kept(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        plain = pa.table({"text": ["a", "b", None, "a"]})
        one = self.identity(engine, tmp_path, plain)
        for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
            assert self.identity(engine, tmp_path, plain.cast(pa.schema([("text", kind)]))) == one

    def test_other_content_is_told_apart(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        number = pa.float64()
        tables = [
            pa.table({"a": pa.array(values, number)})
            for values in ([1.0], [2.0], [None], [float("nan")], [1.0, 1.0], [1.0, None], [], [0.0])
        ]
        tables += [
            pa.table({"b": pa.array([1.0], number)}),
            pa.table({"a": [1]}),
            pa.table({"a": ["1"]}),
            pa.table({"a": [""]}),
            pa.table({"a": pa.array([None], pa.string())}),
            pa.table({"a": [1, 2], "b": [2, 1]}),
            pa.table({"a": [1, 2], "b": [1, 2]}),
            pa.table({"b": [1, 2], "a": [1, 2]}),
        ]
        seen = [self.identity(engine, tmp_path, table) for table in tables]
        assert len(set(seen)) == len(tables)

    def test_duplicates_count(self, engine: Engine, tmp_path: Path) -> None:
        """Pairs of equal rows must not cancel each other out."""
        import pyarrow as pa

        seen = {self.identity(engine, tmp_path, pa.table({"a": [1] * n + [2] * m})) for n in range(4) for m in range(4)}
        assert len(seen) == 16

    def test_empty_tables(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        table = pa.table({"id": pa.array([], pa.int64())})
        file = self.file(engine, tmp_path, "t", table)
        assert engine.query("select count(*) as n from t", {"t": file}).to_pylist() == [{"n": 0}]
        output = tmp_path / "out.arrow"
        engine.transform("select * from t", {"t": file}, output)
        assert engine.identify(output).rows == 0

    def test_the_shape_of_an_answer_is_known_before_it_runs(self, engine: Engine) -> None:
        import pyarrow as pa

        schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
        answer = engine.columns("select b, a + 0.5 as c from t where a > 1", {"t": schema})
        assert answer.names == ["b", "c"]

    @pytest.mark.parametrize(
        "sql",
        [
            "selec a from t",
            "select nothing from t",
            "select a from unknown",
            "select 1; select 2",
            "drop table t",
            "insert into t values (1)",
            "",
        ],
    )
    def test_wrong_sql_is_the_users(self, engine: Engine, tmp_path: Path, sql: str) -> None:
        import pyarrow as pa

        file = self.file(engine, tmp_path, "t", pa.table({"a": [1]}))
        with pytest.raises(UserError) as caught:
            engine.query(sql, {"t": file})
        assert caught.value.remedy

    def test_errors_hold_no_data(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        file = self.file(engine, tmp_path, "t", pa.table({"a": ["Anna Secret", "4711-0815"]}))
        for sql in (
            "select cast(a as integer) from t",
            "select cast(a as date) from t",
            "select a::decimal(3, 1) from t",
        ):
            with pytest.raises(UserError) as caught:
                engine.query(sql, {"t": file})
            assert "Secret" not in str(caught.value)
            assert "4711" not in str(caught.value)
            assert caught.value.__cause__ is None

    @pytest.mark.parametrize(
        "sql",
        [
            "select * from read_csv('{file}')",
            "select * from '{file}'",
            "select * from read_text('{file}')",
            "copy t to '{file}.out'",
            "attach '{file}.db' as other",
            "install httpfs",
            "set enable_external_access = true",
            "select * from 'https://localhost/x.parquet'",
        ],
    )
    def test_sql_sees_its_tables_and_nothing_else(self, engine: Engine, tmp_path: Path, sql: str) -> None:
        import pyarrow as pa

        (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
        file = self.file(engine, tmp_path, "t", pa.table({"a": [1]}))
        with pytest.raises(PayoffError):
            engine.query(sql.format(file=tmp_path / "secret.csv"), {"t": file})
        assert not (tmp_path / "secret.csv.out").exists()
        assert not (tmp_path / "secret.csv.db").exists()

    def test_python_objects_are_no_tables(self, engine: Engine) -> None:
        planted = [1, 2, 3]
        with pytest.raises(UserError):
            engine.query("select * from planted", {})
        assert planted

    def test_odd_names_are_only_names(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        names = ["select", "a b", 'quo"te', "Größe", "A", "a.b", "'; drop table t; --"]
        file = self.file(engine, tmp_path, "t", pa.table({name: [number] for number, name in enumerate(names)}))
        assert engine.identify(file).rows == 1
        assert engine.query("select * from t", {"t": file}).schema.names == names

    def test_calls_run_side_by_side(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        files = [
            self.file(engine, tmp_path, f"t{number}", pa.table({"a": list(range(number * 1000))}))
            for number in range(8)
        ]

        def rows(number: int) -> int:
            answer = engine.query("select count(*) as n from t", {"t": files[number]})
            return int(answer.column(0)[0].as_py())

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(rows, range(8))) == [number * 1000 for number in range(8)]

    def test_an_answer_that_fails_leaves_no_file(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        file = self.file(engine, tmp_path, "t", pa.table({"a": [str(n) for n in range(300_000)] + ["x"]}))
        output = tmp_path / "out.arrow"
        with pytest.raises(UserError):
            engine.transform("select cast(a as integer) as a from t", {"t": file}, output)
        assert not output.exists()
