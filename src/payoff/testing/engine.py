"""The contract suite of engines.

Inherit it in a test file and name the adapter; pytest does the rest:

    class TestMyEngine(EngineSuite):
        adapter = "payoff.engines:mine"
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from payoff.ports.engine import Engine


def connect(adapter: str, root: Path, options: Mapping[str, Any] | None = None) -> Engine:
    """The engine that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    engine: Engine = module.connect(root, module.Options(**(options or {})))
    return engine


def typed() -> pa.Table:
    """A row of each type that tables have, and one without any value."""
    import pyarrow as pa

    moment = dt.datetime(2026, 11, 23, 12, 30, 0, 123456)  # noqa: DTZ001 - a column without a zone
    columns: dict[str, tuple[Any, pa.DataType]] = {
        "whole": (2**62, pa.int64()),
        "int8": (-7, pa.int8()),
        "int16": (-(2**15), pa.int16()),
        "int32": (2**31 - 1, pa.int32()),
        "uint8": (255, pa.uint8()),
        "uint16": (2**16 - 1, pa.uint16()),
        "uint32": (2**32 - 1, pa.uint32()),
        "uint64": (2**64 - 1, pa.uint64()),
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
        "texts": (["a", "", None], pa.list_(pa.string())),
        "instants": ([moment.replace(tzinfo=dt.UTC)], pa.list_(pa.timestamp("us", "UTC"))),
        "parts": ({"a": 1, "b": "x"}, pa.struct([("a", pa.int64()), ("b", pa.string())])),
        "records": ([{"a": [1, None]}, None], pa.list_(pa.struct([("a", pa.list_(pa.int64()))]))),
    }
    arrays = {name: pa.array([value, None], kind) for name, (value, kind) in columns.items()}
    return pa.table(arrays)


# Values that have surprised: each is followed by a word that must be in no message.
_SECRETS = ("O'Brien Secret", "a\n\nSecret", 'he said "Secret" y', "(Secret", "Secret{", "' to Secret", "4711-Secret")
# Queries over one column `a` that fail at some of these values.
_FAILING = (
    "select cast(a as integer) from t",
    "select cast(a as date) from t",
    "select cast(a as timestamp) from t",
    "select cast(a as decimal(3, 1)) from t",
    "select count(*) from t group by cast(a as integer)",
)


def _unlike() -> list[tuple[pa.DataType, list[Any]]]:
    """Types with one-row contents of which no two are the same."""
    import pyarrow as pa

    whole, second = pa.int64(), 1_700_000_000_000_000_000
    return [
        (pa.list_(whole), [None, [], [None], [None, None], [0], [0, None], [None, 0], [0, 0], [1, 2], [2, 1]]),
        (pa.list_(pa.string()), [None, [], [None], [""], ["", ""], ["NULL"], ["a, b"], ["a", "b"]]),
        (pa.list_(pa.list_(whole)), [None, [], [None], [[]], [[None]], [[1], [2]], [[1, 2]], [[1], None, [2]]]),
        (pa.struct([("a", whole), ("b", whole)]), [None, {}, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 2}]),
        (pa.struct([("a", pa.list_(whole))]), [None, {}, {"a": []}, {"a": [None]}]),
        (pa.map_(pa.string(), whole), [None, [], [("a", None)], [("a", 1)], [("b", 1)]]),
        (pa.timestamp("ns", "UTC"), [None, second, second + 1]),
        (pa.list_(pa.timestamp("ns", "UTC")), [[second], [second + 1]]),
        (pa.timestamp("ns"), [second, second + 1]),
        (pa.duration("ns"), [second, second + 1]),
        (pa.month_day_nano_interval(), [(1, 0, 0), (0, 30, 0), (0, 29, 86_400 * 10**9)]),
        (pa.decimal128(38, 2), [None, Decimal("0.01"), Decimal("0.10")]),
        (pa.binary(), [None, b"", b"\x00", b"\x00\x00"]),
        (pa.string(), [None, "", " ", "NULL", "\x00"]),
        (pa.bool_(), [None, True, False]),
        (pa.float64(), [None, float("nan"), float("inf"), 0.0, 5e-324]),
    ]


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
        assert str(answer.schema) == str(table.schema)
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

    @pytest.mark.parametrize("ending", [".arrow", ".parquet"])
    def test_a_table_that_is_handed_on_stays_the_same_content(
        self, engine: Engine, tmp_path: Path, ending: str
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.file(engine, tmp_path, "t", typed())
        output = tmp_path / f"out{ending}"
        engine.transform("select * from t", {"t": file}, output)
        if ending == ".parquet":
            output = self.file(engine, tmp_path, "again", pq.read_table(output))
        assert engine.identify(output) == engine.identify(file)
        with pa.memory_map(str(output)) as source:
            assert pa.ipc.open_file(source).read_all().to_pylist() == typed().to_pylist()

    def test_content_does_not_depend_on_how_values_are_kept(self, engine: Engine, tmp_path: Path) -> None:
        """Offsets of 32 or 64 bits, views, dictionaries, names of lists' parts: the whole identity stays, names of types too."""
        import pyarrow as pa

        def seen(array: pa.Array) -> list[Any]:
            """As the engine writes it, and as a step's own process does: just as it is."""
            table, path = pa.table({"a": array}), tmp_path / "step.arrow"
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
            return [engine.identify(path), engine.identify(self.file(engine, tmp_path, "t", table))]

        text, raw = pa.array(["a", "b", None, "a"]), pa.array([b"a", None])
        texts = pa.array([["a"], [], None, ["b", None]], pa.list_(pa.string()))
        inside = texts.values.dictionary_encode()
        same: list[list[Any]] = [
            [text, text.cast(pa.large_string()), text.cast(pa.string_view()), text.dictionary_encode()],
            [raw, raw.cast(pa.large_binary()), raw.cast(pa.binary_view()), raw.dictionary_encode()],
            [
                texts,
                texts.cast(pa.large_list(pa.large_string())),
                texts.cast(pa.list_(pa.field("element", pa.string()))),
                pa.ListArray.from_arrays(texts.offsets, inside, mask=texts.is_null()),
            ],
        ]
        for arrays in same:
            found = [one for array in arrays for one in seen(array)]
            assert all(one == found[0] for one in found), arrays[0].type

    def test_batches_may_have_dictionaries_of_their_own(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        parts: list[list[str | None]] = [["a", "b"], ["c", "b"], [None]]
        kind = pa.dictionary(pa.int32(), pa.string())
        table = pa.Table.from_batches(
            [pa.record_batch({"a": pa.array(part, pa.string()).dictionary_encode().cast(kind)}) for part in parts]
        )
        one = self.identity(engine, tmp_path, table)
        assert one == self.identity(engine, tmp_path, pa.table({"a": [text for part in parts for text in part]}))

    @pytest.mark.parametrize("of", range(16))
    def test_values_that_are_nearly_the_same_are_told_apart(self, engine: Engine, tmp_path: Path, of: int) -> None:
        import pyarrow as pa

        kind, values = _unlike()[of]
        seen = {self.identity(engine, tmp_path, pa.table({"a": pa.array([value], kind)})) for value in values}
        assert len(seen) == len(values), kind

    def test_columns_are_told_apart_by_their_place(self, engine: Engine, tmp_path: Path) -> None:
        """Names that differ only in case are one name to SQL; the second column's values count all the same."""
        import pyarrow as pa

        for names in (["a", "A"], ["a", "b"]):
            rows = [(1, 2), (1, 3), (2, 1), (None, 1), (1, None), (None, None), (1, 1), (2, 2)]
            tables = [pa.table([pa.array([each], pa.int64()) for each in row], names=names) for row in rows]
            assert len({self.identity(engine, tmp_path, table) for table in tables}) == len(rows)

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

    def test_tables_without_columns(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        file = self.file(engine, tmp_path, "nothing", pa.table({}))
        found = engine.identify(file)
        assert (found.rows, found.fields) == (0, ())
        with pytest.raises(UserError, match="nothing has no columns"):
            engine.query("select 1 as a from nothing", {"nothing": file})

    def test_two_columns_of_one_name_are_refused(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        table = pa.table({"id": [1], "b": [2]})
        file, output = self.file(engine, tmp_path, "t", table), tmp_path / "out.arrow"
        sql = "select x.*, y.id from t x join t y on x.id = y.id"
        calls: tuple[Callable[[], object], ...] = (
            lambda: engine.transform(sql, {"t": file}, output),
            lambda: engine.query(sql, {"t": file}),
            lambda: engine.columns(sql, {"t": table.schema}),
            lambda: self.file(engine, tmp_path, "out", pa.table([[1], [2]], names=["id", "id"])),
        )
        for call in calls:
            with pytest.raises(UserError, match="id"):
                call()
        assert not output.exists()

    def test_a_file_that_is_gone_or_cut_is_said(self, engine: Engine, tmp_path: Path) -> None:
        import pyarrow as pa

        file = self.file(engine, tmp_path, "t", pa.table({"a": list(range(1000))}))
        for data in (file.read_bytes()[:-100], b""):
            file.write_bytes(data)
            with pytest.raises(OutsideError, match="damaged"):
                engine.query("select * from t", {"t": file})
        file.unlink()
        with pytest.raises(OutsideError, match="no longer"):
            engine.identify(file)

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

    @pytest.mark.parametrize("secret", _SECRETS)
    @pytest.mark.parametrize("sql", _FAILING)
    def test_errors_hold_no_data(self, engine: Engine, tmp_path: Path, sql: str, secret: str) -> None:
        import pyarrow as pa

        file = self.file(engine, tmp_path, "t", pa.table({"a": [secret]}))
        output = tmp_path / "out.arrow"
        calls: tuple[Callable[[], object], ...] = (
            lambda: engine.query(sql, {"t": file}),
            lambda: engine.transform(sql, {"t": file}, output),
        )
        for call in calls:
            with pytest.raises(UserError) as caught:
                call()
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
            "load httpfs",
            "install httpfs",
            "set enable_external_access = true",
            "reset enable_external_access",
            "pragma version",
            "with x as (insert into t values (2) returning a) select * from x",
            "select * from glob('/etc/*')",
            "select * from read_csv('/etc/passwd')",
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
        assert engine.query("select a from t", {"t": file}).to_pylist() == [{"a": 1}]

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
