"""A read: what is asked is held against the labels, written down, and only then answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa

from payoff.base import hashing
from payoff.base.clock import now
from payoff.base.errors import PayoffError, Refused, UserError
from payoff.data import usage
from payoff.data.labels.flow import THERE
from payoff.flows.data import audit
from payoff.gateway import permits
from payoff.records.catalog import Access

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from payoff.flows.data.opened import Catalog
    from payoff.flows.gateway import Offers
    from payoff.gateway.permits import Permit
    from payoff.gateway.tables import Tables
    from payoff.records.label import Label
    from payoff.records.project import ReaderSpec

HOW = "gateway"
_LONGEST = 200  # characters of a name that nobody knows, in the audit
_BYTES = 4 << 20  # of a message: less than what clients take


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A table with columns (None: all that may be read), or a query over what may be read. `purpose`: one of the reader's (empty: all at once)."""

    table: str = ""
    columns: tuple[str, ...] | None = None
    sql: str = ""
    purpose: str = ""


class Answer(NamedTuple):
    """Rows on their way: `batches` reads them as they are sent."""

    schema: pa.Schema
    rows: int
    batches: Iterator[pa.RecordBatch]


class Shape(NamedTuple):
    """What an answer will look like. `version`: a name for the content that changes with it, of no use to anybody else (None: it may have changed).
    `labels`: what holds for its columns, and for which rows there are; of a query's answer nothing is said.
    """

    schema: pa.Schema
    version: str | None
    labels: dict[str, Label]


class Reading:
    """The reads of one reader, each with the project as it is now."""

    def __init__(self, offers: Offers, tables: Tables, reader: ReaderSpec) -> None:
        self.key = offers.key
        self.held = tables
        self.reader = reader
        self.catalog: Catalog = offers.catalog()

    def names(self) -> tuple[str, ...]:
        """The tables that are offered to the reader."""
        offered = self.catalog.project.gateway.tables
        return offered if self.reader.tables is None else tuple(t for t in offered if t in self.reader.tables)

    def tables(self) -> dict[str, pa.Schema]:
        """Those of which something may be read now, with the schemas that the reader sees."""
        found = {}
        for name in self.names():
            try:
                found[name] = self._shape_of_table(Asked(table=name)).schema
            except PayoffError:
                continue  # asked for by its name it says why
        return found

    def shape(self, asked: Asked) -> Shape:
        """What the answer would look like; no row is read. A refusal is written down, as that of a read."""
        try:
            return self._shape_of_query(asked) if asked.sql else self._shape_of_table(asked)
        except PayoffError as error:
            self._refused(asked, error)
            raise

    def answer(self, asked: Asked) -> Answer:
        """Read; it is written down before the first row leaves, and what cannot be written down is not read."""
        try:
            return self._query(asked) if asked.sql else self._table(asked)
        except PayoffError as error:
            self._refused(asked, error)
            raise

    def _permit(self, table: str, purpose: str) -> Permit:
        if purpose and purpose not in self.reader.purposes:
            raise Refused(
                f"reader {self.reader.name!r} reads for no purpose {purpose[:_LONGEST]!r}",
                code="PO-F003",
                expected=f"one of {', '.join(self.reader.purposes) or 'no purposes'}",
                remedy=f"leave the purpose out, or have it added to [gateway.readers.{self.reader.name}]",
            )
        if table not in self.names():
            raise Refused(
                f"no table {table[:_LONGEST]!r} is offered to reader {self.reader.name!r}",
                code="PO-H010",
                expected=f"one of {', '.join(self.names()) or 'no tables'}",
                remedy=f"have it added to [gateway] tables, and to [gateway.readers.{self.reader.name}]",
            )
        schema = self.held.schema(self.catalog, table)
        labelled, project = self.catalog.labelled, self.catalog.project
        return permits.permit(project, labelled, self.reader, purpose, table=table, schema=schema)

    # -- a table

    def _shape_of_table(self, asked: Asked) -> Shape:
        permit = self._permit(asked.table, asked.purpose)
        chosen = permit.chosen(asked.columns)
        identity = self.held.identity(self.catalog, permit)
        labels = permits.labels(self.catalog.labelled, permit, self.held.schema(self.catalog, asked.table))
        known = hashing.of_json([identity, permit.columns, permit.rows, self.reader.name]).encode()
        version = None if identity is None else hashing.keyed(self.key, known)
        schema = self.held.schema(self.catalog, asked.table)
        told = {name: label for name, label in labels.items() if name in chosen or name in THERE}
        return Shape(pa.schema([schema.field(name) for name in chosen]), version, told)

    def _table(self, asked: Asked) -> Answer:
        permit = self._permit(asked.table, asked.purpose)
        chosen = permit.chosen(asked.columns)
        content = self.held.content(self.catalog, permit, whole=True)
        try:
            return self._sent(content.file, chosen, {asked.table: chosen}, asked)
        finally:
            if content.owned:
                content.file.unlink(missing_ok=True)

    # -- a query, which sees files that hold nothing but what may be read

    def _shape_of_query(self, asked: Asked) -> Shape:
        found = self._named(asked)
        with _Explained(asked.sql, found):
            return Shape(self.catalog.opened.kit.engine.columns(asked.sql, self._schemas(found)), None, {})

    def _query(self, asked: Asked) -> Answer:
        found = self._named(asked)
        contents = {name: self.held.content(self.catalog, permit) for name, permit in found.items()}
        output = self.catalog.opened.kit.store.scratch("gateway-answer")
        try:
            with _Explained(asked.sql, found):
                files = {name: each.file for name, each in contents.items()}
                self.catalog.opened.kit.engine.transform(asked.sql, files, output)
            used = {name: tuple(each) for name, each in usage.used_columns(asked.sql, self._schemas(found)).items()}
            return self._sent(output, None, used, asked)
        finally:
            output.unlink(missing_ok=True)
            for each in contents.values():
                if each.owned:
                    each.file.unlink(missing_ok=True)

    def _schemas(self, found: dict[str, Permit]) -> dict[str, pa.Schema]:
        """What a query can see."""
        tables = self.held
        return {name: _part(tables.schema(self.catalog, name), permit.columns) for name, permit in found.items()}

    def _named(self, asked: Asked) -> dict[str, Permit]:
        """The tables that a query could mean: those whose names stand in it."""
        words = _words(asked.sql)
        meant = [name for name in self.names() if name.lower() in words]
        return {name: self._permit(name, asked.purpose) for name in meant}

    # -- sending, and writing down

    def _sent(
        self, file: Path, columns: Sequence[str] | None, read: dict[str, tuple[str, ...]], asked: Asked
    ) -> Answer:
        stream = pa.memory_map(str(file))
        whole = pa.ipc.open_file(stream)
        names = whole.schema.names if columns is None else list(columns)
        rows = sum(whole.get_batch(n).num_rows for n in range(whole.num_record_batches))
        for table, used in read.items():
            self._write(table, used, asked, rows=rows)
        spec = self.catalog.project.gateway
        return Answer(_part(whole.schema, names), rows, _batches(whole, names, spec.batch_rows))

    def _refused(self, asked: Asked, error: PayoffError) -> None:
        listed = [asked.table] if not asked.sql else [n for n in self.names() if n.lower() in _words(asked.sql)]
        columns = tuple(name[:_LONGEST] for name in asked.columns or ())
        for table in listed or [""]:
            self._write(table[:_LONGEST], columns, asked, refused=f"{error.code}: {error.what}")

    def _write(
        self, table: str, columns: tuple[str, ...], asked: Asked, *, rows: int | None = None, refused: str = ""
    ) -> None:
        access = Access(
            at=now(),
            who=self.reader.name,
            table=table,
            columns=columns,
            how=HOW,
            purpose=asked.purpose or ", ".join(self.reader.purposes),
            zone=self.reader.zone,
            rows=rows,
            refused=refused,
        )
        audit.write_down(self.catalog, access)


def _part(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _batches(whole: pa.ipc.RecordBatchFileReader, names: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
    """The columns asked for, in pieces small enough for a message; the file is mapped, so that memory holds one piece at a time."""
    for number in range(whole.num_record_batches):
        batch = whole.get_batch(number).select(list(names))
        each = max(1, min(most, int(batch.num_rows * _BYTES / max(1, batch.nbytes))))
        for start in range(0, batch.num_rows, each):
            yield batch.slice(start, each)


def _words(sql: str) -> set[str]:
    return {word.lower() for word in re.findall(r"\w+", sql)}


class _Explained:
    """A query that cannot be run because it names a column that may not be read says by which rule."""

    def __init__(self, sql: str, found: dict[str, Permit]) -> None:
        self.sql = sql
        self.found = found

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UserError):
            words = _words(self.sql)
            for permit in self.found.values():
                for name, reason in permit.refused.items():
                    if name.lower() in words:
                        raise reason from None
