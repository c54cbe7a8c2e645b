"""What sources that answer SQL have in common; an adapter adds how to connect, how to quote, and what its errors mean.

Everything that a server says passes through here on its way to the user: no value of a row and no secret is left in it, and no
exception of a library hangs on the errors that are raised.
"""

from __future__ import annotations

import abc
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from payoff.base import lazy, waiting
from payoff.base.errors import PayoffError, UserError
from payoff.base.text import did_you_mean
from payoff.ports.sql.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa
else:
    pa = lazy.Module("pyarrow")

_T = TypeVar("_T")


class SqlSource(Faults, abc.ABC):
    """A table or query behind an SQL server; see `ports.source.Source`.

    An adapter sets `kind` and `system` (the product's name in messages), and gives `opened`, `told` and, where its dialect differs,
    `quoted`. `opened(sql)` connects, runs and answers an Arrow reader, in a thread of its own; `timeout` seconds are waited for each
    batch. `told(error, reading)` says what an exception of the library means, by one of `no_table`, `refused`, `unreachable`, `wrong`, `broke`, `slow`.
    """

    kind: ClassVar[str]
    dialect: ClassVar[str] = ""  # sqlglot's name for it

    @abc.abstractmethod
    def opened(self, sql: str) -> AbstractContextManager[pa.RecordBatchReader]:
        """The answer to a query on a connection of its own, closed with it. Nothing is written."""

    @abc.abstractmethod
    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """An exception of the library in our words (None: it is none of the library's); `reading`: rows were already coming."""

    def quoted(self, name: str) -> str:
        """A name in this dialect."""
        return '"' + name.replace('"', '""') + '"'

    def column(self, field: pa.Field) -> str:
        """How a column is asked for, under its own name."""
        return self.quoted(field.name)

    def plain(self, field: pa.Field) -> pa.DataType:
        """The type a column has for the reader: extension types are read as what they are stored as, dictionaries as their values."""
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        return kind.value_type if pa.types.is_dictionary(kind) else kind

    def arrives(self, field: pa.Field) -> pa.DataType:
        """The type, as `plain` gives it, of what `column` asks for; it is cast to the field's."""
        return field.type

    def origin(self) -> str:
        """What stands after FROM."""
        return f"({self.query}) as q" if self.query else ".".join(self.quoted(part) for part in self.path)

    def shape(self) -> str:
        """The query whose answer has all columns and no rows."""
        return f"select * from {self.origin()} where 1 = 0"

    def selected(self, schema: pa.Schema) -> str:
        """The query for these columns."""
        return f"select {', '.join(self.column(field) for field in schema)} from {self.origin()}"

    def schema(self) -> pa.Schema:
        """Names and types, without reading rows."""
        return self._one(self._shape)

    def answer_to(self, sql: str) -> pa.Table:
        """The whole of a small answer, for an adapter's own questions; errors are those of a read."""
        return self._one(lambda: self._whole_of(sql))

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Arrow batches of the columns asked for."""
        schema = self.schema()
        for column in columns or ():
            if column not in schema.names:
                raise UserError(
                    f"{self.name} has no column {column}",
                    code="PO-S002",
                    expected=did_you_mean(column, schema.names),
                    remedy="correct the column's name where it is used",
                )
        chosen = schema if columns is None else pa.schema([schema.field(column) for column in columns])
        return pa.RecordBatchReader.from_batches(chosen, self._batches(chosen))

    def version(self) -> str | None:
        """None: no token of the server surely changes with the content."""
        return None

    def describe(self) -> dict[str, Any]:
        """Kind, address and table or query, without secrets."""
        return {"kind": self.kind, "address": self.address(), "table": self.query or ".".join(self.path)}

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        trouble = None
        try:
            yield from waiting.items(lambda: self._rows(schema), self.timeout, self.slow)
        except PayoffError as error:
            trouble = error
        if trouble:
            raise bare(self._why(trouble, schema))

    def _why(self, error: PayoffError, schema: pa.Schema) -> PayoffError:
        """A query that was refused though the table was there a moment ago: because it is another one now?"""
        if error.code not in ("PO-S040", "PO-S043"):
            return error
        try:
            now = self.schema()
        except PayoffError as gone:
            return self.changed("") if isinstance(gone, UserError) else error
        for field in schema:
            if field.name not in now.names or now.field(field.name).type != field.type:
                return self.changed(field.name)
        return error

    def _one(self, opened: Callable[[], AbstractContextManager[Iterable[_T]]]) -> _T:
        found: list[_T] = []
        trouble = None
        try:
            found += waiting.items(opened, self.timeout, self.slow)
        except PayoffError as error:
            trouble = error
        if trouble:
            raise bare(trouble)
        return found[0]

    @contextlib.contextmanager
    def _whole_of(self, sql: str) -> Iterator[Iterable[pa.Table]]:
        with self._telling(reading=False), self.opened(sql) as reader:
            yield [reader.read_all()]

    @contextlib.contextmanager
    def _shape(self) -> Iterator[Iterable[pa.Schema]]:
        with self._telling(reading=False), self.opened(self.shape()) as reader:
            yield [pa.schema([pa.field(field.name, self.plain(field)) for field in reader.schema])]

    @contextlib.contextmanager
    def _rows(self, schema: pa.Schema) -> Iterator[Iterable[pa.RecordBatch]]:
        with self._telling(reading=False), self.opened(self.selected(schema)) as reader:
            yield self._same(reader, schema)

    def _same(self, reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The batches in the promised types; a table that changed since its types were asked for is refused."""
        if reader.schema.names != schema.names:
            raise self.changed("")
        for field in schema:
            if self.plain(reader.schema.field(field.name)) != self.arrives(field):
                raise self.changed(field.name)
        with self._telling(reading=True):
            for batch in reader:
                arrays = [self._storage(array, field) for array, field in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _storage(self, array: pa.Array, field: pa.Field) -> pa.Array:
        plain = array.storage if isinstance(array, pa.ExtensionArray) else array
        if plain.type == field.type:
            return plain
        try:
            return plain.cast(field.type)
        except pa.ArrowException:
            raise self.unreadable(field.name, str(field.type)) from None

    @contextlib.contextmanager
    def _telling(self, *, reading: bool) -> Iterator[None]:
        try:
            yield
        except PayoffError:
            raise
        except Exception as error:
            told = self.told(error, reading=reading)
            if told is None:
                raise
            raise told from None


def bare(error: PayoffError) -> PayoffError:
    """The error alone: what it was made of, and the frames it came through, may hold an address with a password."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
