"""What sources have in common whose SQL server runs queries besides; see `ports.pushdown.Database`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from payoff.base import lazy, waiting
from payoff.base.errors import PayoffError
from payoff.ports.sql.source import SqlSource, bare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    import pyarrow as pa
else:
    pa = lazy.Module("pyarrow")


class SqlDatabase(SqlSource):
    """A source whose server runs queries. An adapter adds `place`, `relation` and, where a query needs a session of its own, `session`."""

    def session(self, sql: str) -> AbstractContextManager[pa.RecordBatchReader]:
        """The answer to a query that is not this source's own, on a connection that can only read."""
        return self.opened(sql)

    def planned(self, sql: str) -> str:
        """The statement by which the server looks at a query without running it."""
        return f"explain {sql}"

    def prepare(self, sql: str) -> None:
        """Have a query looked at."""
        self._one(lambda: self._looked_at(sql))

    def run(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """The answer of a query over relations of this database."""
        return pa.RecordBatchReader.from_batches(schema, self._asked(sql, schema))

    @contextlib.contextmanager
    def _looked_at(self, sql: str) -> Iterator[Iterable[bool]]:
        with self._telling(reading=False), self.session(self.planned(sql)):
            yield [True]

    def _asked(self, sql: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        trouble = None
        try:
            yield from waiting.items(lambda: self._answer(sql, schema), self.timeout, self.slow)
        except PayoffError as error:
            trouble = error
        if trouble:
            raise bare(trouble)

    @contextlib.contextmanager
    def _answer(self, sql: str, schema: pa.Schema) -> Iterator[Iterable[pa.RecordBatch]]:
        with self._telling(reading=False), self.session(sql) as reader:
            yield self._fitted(reader, schema)

    def _fitted(self, reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._telling(reading=True):
            for batch in reader:
                arrays = []
                for array, field in zip(batch.columns, schema, strict=True):
                    try:
                        arrays.append(array if array.type == field.type else array.cast(field.type))
                    except pa.ArrowException:
                        raise self.unfit(field.name, str(field.type)) from None
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
