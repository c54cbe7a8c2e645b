"""A table or query of a DuckDB file, which is only read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from typing import TYPE_CHECKING, Any

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.ports.sql.database import SqlDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb
    import pyarrow as pa

    from payoff.records.placement import Location, Relation
else:
    duckdb, pa = lazy.Module("duckdb"), lazy.Module("pyarrow")

CAPABILITIES = {"columns": True, "version": True, "sql": True, "pushdown": True}
_ROWS = 65_536
# Columns that mean the same in the file as read from it. UUID, JSON and ENUM are read as texts, but compare otherwise in the file.
_SAME = re.compile(
    r"U?(TINY|SMALL|BIG)INT|U?INTEGER|DECIMAL\(\d+,0\)|DOUBLE|BOOLEAN|VARCHAR|DATE|TIMESTAMP( WITH TIME ZONE)?"
)
# What the rules of queries let through only where it means the same: here all of it, for it is the same engine.
_FUNCTIONS = (
    "length", "substring", "floor", "like", "calendar", "date_arithmetic", "date_trunc", "greatest", "float_to_int", "narrow_int", "window",
    "moments", "full_join",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: the file, relative to the project. `table` (the source's own name unless said) in `schema`, or `query`: SQL. `memory`: what
    DuckDB may take for it; beyond that it spills to disk.
    """

    path: str
    table: str = ""
    schema: str = "main"
    query: str = ""
    memory: str = "1GB"


def connect(name: str, options: Options, root: Path) -> DuckDB:
    """A table in a DuckDB file; nothing is opened yet."""
    return DuckDB(name, options, root)


class DuckDB(SqlDatabase):
    """See `ports.source.Source`. The file is opened read-only, for the length of a read."""

    kind = "duckdb"
    system = "DuckDB"
    dialect = "duckdb"

    def __init__(self, name: str, options: Options, root: Path) -> None:
        super().__init__(name, path=[options.schema, options.table or name], query=options.query, timeout=0)
        self._file, self._shown, self._memory = root / options.path, options.path, options.memory

    def address(self) -> str:
        """The file."""
        return self._shown

    def version(self) -> str | None:
        """Size, time of change and inode of the file and its write-ahead log."""
        marks = []
        for path in self._parts():
            try:
                found = os.stat(path)
            except OSError:
                continue
            marks.append([os.path.basename(path), found.st_size, found.st_mtime_ns, found.st_ino])
        if not self._file.is_file():
            raise self._no_file()
        return hashing.of_json(marks)

    def describe(self) -> dict[str, Any]:
        """The file and the table or query."""
        return {**super().describe(), "watch": self._parts()}

    def tables(self) -> list[str]:
        """The tables and views of the schema."""
        with self._connection() as connection:
            listed = "select table_name from information_schema.tables where table_schema = ?"
            return [str(row[0]) for row in connection.execute(listed, [self.path[0]]).fetchall()]

    def place(self) -> Location | None:
        """The file; none for a source with a query of its own."""
        from payoff.records.placement import Dialect, Location

        if self.query:
            return None
        dialect = Dialect(name="duckdb", title="DuckDB", functions=frozenset(_FUNCTIONS), infinite=True, inlines=True)
        return Location(
            id=hashing.of_json(["duckdb", os.path.realpath(self._file)]), address=self._shown, dialect=dialect
        )

    def relation(self) -> Relation:
        """The columns as they are, of types that mean the same when they are read; no texts where some compare otherwise than by their code
        points, and none at all in a file with macros: one may have the name of a function.
        """
        from payoff.records.artifact import Field
        from payoff.records.placement import Relation

        schema, types = self.schema(), self.answer_to(f"select column_type from (describe {self.origin()})").column(0)
        made = "select sql from duckdb_tables() union all select sql from duckdb_views() where not internal"
        told = self.answer_to(
            f"select (select count(*) from ({made}) where sql ilike '%collate%') as collated,"
            " (select count(*) from duckdb_functions() where not internal) as macros"
        )
        collated, macros = told["collated"][0].as_py(), told["macros"][0].as_py()
        same = [] if macros else [f for f, kind in zip(schema, types.to_pylist(), strict=True) if _SAME.fullmatch(kind)]
        kept = [field for field in same if not (collated and pa.types.is_string(field.type))]
        written = ", ".join(f"{self.quoted(field.name)} as {self.quoted(field.name.lower())}" for field in kept)
        fields = tuple(Field(field.name.lower(), str(field.type)) for field in kept)
        return Relation(sql=f"select {written or 'null as nothing'} from {self.origin()}", fields=fields)

    @contextlib.contextmanager
    def opened(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """Batches as DuckDB makes them."""
        with self._connection() as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection.execute(sql).to_arrow_reader(_ROWS)

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if not self._file.is_file():
            raise self._no_file()
        try:
            return duckdb.connect(str(self._file), read_only=True, config={"memory_limit": self._memory})
        except duckdb.Error as error:
            text = str(error)
        if "lock" in text or "different configuration" in text:
            raise OutsideError(
                f"source {self.name}: {self._shown} is open for writing elsewhere",
                code="PO-S049",
                expected="a DuckDB file that no program holds open for writing",
                remedy="close the program that writes to it, then run again",
                retryable=True,
            )
        raise UserError(
            f"source {self.name}: {self._shown} cannot be opened as a DuckDB file: {self.said(text)}",
            code="PO-S050",
            expected=f"a whole file of DuckDB {duckdb.__version__} or older, and memory like 1GB",
            remedy=f"check it with: duckdb {self._shown} 'show tables', or correct [sources.{self.name}] of payoff.toml",
        )

    def _parts(self) -> list[str]:
        return [str(self._file), f"{self._file}.wal"]

    def _no_file(self) -> PayoffError:
        return UserError(
            f"source {self.name}: there is no file {self._shown}",
            code="PO-S001",
            expected="a DuckDB file",
            remedy=f"put the file there, or correct path in [sources.{self.name}] of payoff.toml",
        )

    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """DuckDB's own classes of errors."""
        if isinstance(error, duckdb.CatalogException) and "Table with name" in str(error):
            return self.no_table()
        if isinstance(error, duckdb.IOException | OSError):
            return self.broke()
        return self.wrong(str(error)) if isinstance(error, duckdb.Error | pa.ArrowException) else None
