"""The contract suite of sources.

Inherit it in a test file, name the adapter, and say how a table comes to be outside; pytest does the rest:

    class TestMySource(SourceSuite):
        adapter = "payoff.sources:mine"

        def place(self, root, name, table): ...   # write the table, answer the options that lead to it
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import UserError
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from payoff.ports.source import Source


def connect(adapter: str, name: str, root: Path, options: dict[str, Any]) -> Source:
    """The source that an entry point `group:name` leads to."""
    group, _, kind = adapter.partition(":")
    module: Any = entry_points.load(group, kind)
    source: Source = module.connect(name, module.Options(**options), root)
    return source


def people(rows: int = 4) -> pa.Table:
    """Whole numbers, numbers, text beyond ASCII with quotes and line ends, truth, days; with missing values."""
    import pyarrow as pa

    texts = ['He said "no", twice', "Größe\n数", None, "x,y;z"]
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "amount": pa.array([None if n % 4 == 1 else n + 0.25 for n in range(rows)], pa.float64()),
            "text": pa.array([texts[n % 4] for n in range(rows)], pa.string()),
            "yes": pa.array([None if n % 4 == 3 else n % 2 == 0 for n in range(rows)], pa.bool_()),
            "day": pa.array([dt.date(2026, 1, 1 + n % 28) for n in range(rows)], pa.date32()),
        }
    )


class SourceSuite:
    """What every source does."""

    adapter: ClassVar[str] = ""

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        """Write a table to where the source reads; answers the source's options."""
        raise NotImplementedError

    def source(self, root: Path, table: pa.Table, name: str = "people") -> Source:
        """A source of this table."""
        return connect(self.adapter, name, root, self.place(root, name, table))

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A project's folder with a space and letters beyond ASCII."""
        folder = tmp_path / "mein Prüfstand 数"
        folder.mkdir()
        return folder

    def rows(self, source: Source, columns: list[str] | None = None) -> list[dict[str, Any]]:
        """All rows, in the order of their first column."""
        with source.read(columns) as reader:
            found = reader.read_all().to_pylist()
        return sorted(found, key=lambda row: str(next(iter(row.values())))) if found else []

    def test_rows_come_as_they_are(self, root: Path) -> None:
        source = self.source(root, people())
        assert self.rows(source) == people().to_pylist()

    def test_the_shape_is_known_and_kept(self, root: Path) -> None:
        source = self.source(root, people())
        schema = source.schema()
        assert schema.names == people().schema.names
        with source.read() as reader:
            assert reader.schema.equals(schema)
            assert all(batch.schema.equals(schema) for batch in reader)

    def test_only_what_is_asked_for_in_the_order_asked(self, root: Path) -> None:
        source = self.source(root, people())
        assert self.rows(source, ["day", "id"]) == [{"day": r["day"], "id": r["id"]} for r in people().to_pylist()]
        with source.read(["text"]) as reader:
            assert reader.schema.names == ["text"]

    def test_a_column_that_is_not_there_is_named_with_the_nearest(self, root: Path) -> None:
        source = self.source(root, people())
        with pytest.raises(UserError, match="amout") as caught:
            source.read(["id", "amout"])
        assert "amount" in caught.value.expected
        assert caught.value.remedy

    def test_a_table_can_be_read_twice_and_side_by_side(self, root: Path) -> None:
        source = self.source(root, people())
        first, second = source.read(["id"]), source.read(["id"])
        assert first.read_all().num_rows == second.read_all().num_rows == 4
        first.close()
        second.close()
        assert len(self.rows(source)) == 4

    def test_a_reader_may_be_left_early(self, root: Path) -> None:
        source = self.source(root, people(300_000))
        with source.read(["id"]) as reader:
            assert next(iter(reader)).num_rows > 0
        assert len(self.rows(source, ["id"])) == 300_000

    def test_many_rows_come_in_batches(self, root: Path) -> None:
        source = self.source(root, people(300_000))
        with source.read() as reader:
            sizes = [batch.num_rows for batch in reader]
        assert sum(sizes) == 300_000
        assert len(sizes) > 1

    def test_the_version_changes_with_the_content_only(self, root: Path) -> None:
        source = self.source(root, people())
        before = source.version()
        assert before == source.version()
        self.rows(source)
        assert before == source.version()
        if before is not None:
            assert self.source(root, people(5)).version() != before

    def test_it_says_where_it_is(self, root: Path) -> None:
        described = self.source(root, people()).describe()
        assert described["kind"] == self.adapter.partition(":")[2]
        assert described["address"]

    def test_an_empty_table_has_columns(self, root: Path) -> None:
        source = self.source(root, people().slice(0, 0))
        assert source.schema().names == people().schema.names
        assert self.rows(source) == []
