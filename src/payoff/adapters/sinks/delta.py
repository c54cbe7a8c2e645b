"""A Delta Lake table: each write is one commit, which says what it holds; versions before it stay readable."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.ports.sink import taken, unfit
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import deltalake
    import pyarrow as pa
else:
    pa, deltalake = lazy.Module("pyarrow"), lazy.Module("deltalake")

_MODES = ("replace", "append")
CAPABILITIES = {"atomic": True, "modes": _MODES}
_MARK, _ROWS, _MODE = "payoff.identity", "payoff.rows", "payoff.mode"
_UPKEEP = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "FSCK")  # operations that change no row
_AGAIN = 20  # times that a commit is tried when others commit at the same moment


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: a folder relative to the project, absolute, or an address (`s3://bucket/table`). `mode`: `replace` all rows, or `append` each table once. `adopt`: replace a
    table that Payoff did not write. `storage_options`: handed to deltalake.
    """

    path: str
    mode: str = "replace"
    adopt: bool = False
    storage_options: dict[str, str] = dataclasses.field(default_factory=dict)


def connect(name: str, options: Options, root: Path) -> Delta:
    """A Delta table; nothing is opened yet."""
    if options.mode not in _MODES:
        raise UserError(
            f"sink {name}: mode is {options.mode!r}",
            code="PO-N005",
            expected='mode = "replace" or "append"',
            remedy=f"correct [sinks.{name}] of payoff.toml",
        )
    return Delta(name, options, root)


class Delta:
    """See `ports.sink.Sink`. Two writers at once: one commits, the other sees it and commits after it."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._local = "://" not in options.path
        self._uri = str(root / options.path) if self._local else options.path

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """Files first, which nobody sees, then one commit."""
        schema = held(self._name, reader.schema)
        with self._told():
            table = self._table()
            if table is not None:
                if self._there(table) == artifact.id or self._appended(table, artifact.id):
                    return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
                ours = any(_MARK in entry for entry in table.history())
                if self._options.mode == "replace" and not ours and not self._options.adopt:
                    raise taken(self._name, self._options.path)
            with tempfile.TemporaryDirectory(prefix="payoff-") as folder:  # a commit that came second is made again
                file = os.path.join(folder, "rows.arrow")
                with pa.OSFile(file, "wb") as stream, pa.ipc.new_file(stream, schema) as writer:
                    rows = 0
                    for batch in reader:
                        writer.write_batch(batch.cast(schema))
                        rows += batch.num_rows
                return self._commit(file, rows, artifact)

    def written(self) -> str | None:
        """The id in the last commit that changed rows."""
        with self._told():
            table = self._table()
            return None if table is None else self._there(table)

    def describe(self) -> dict[str, Any]:
        """The address; a local table can be watched by its log."""
        watch = {"watch": [os.path.join(self._uri, "_delta_log")]} if self._local else {}
        return {"kind": "delta", "address": self._options.path, "mode": self._options.mode, **watch}

    def _commit(self, file: str, rows: int, artifact: Artifact) -> Written:
        marks = {_MARK: artifact.id, _ROWS: str(rows), _MODE: self._options.mode}
        replaces = self._options.mode == "replace"
        attempt = 0
        while True:
            table = self._table()
            done = table is not None and (self._there(table) == artifact.id or self._appended(table, artifact.id))
            if attempt and done:
                return Written(identity=artifact.id, rows=rows, already=True)
            attempt += 1
            try:
                deltalake.write_deltalake(
                    self._uri if table is None else table,
                    _rows(file),
                    mode="overwrite" if replaces else "append",
                    schema_mode="overwrite" if replaces else "merge",
                    storage_options=self._options.storage_options or None if table is None else None,
                    commit_properties=deltalake.CommitProperties(
                        custom_metadata=marks,
                        # A commit of the same table at the same moment is a conflict, not a second copy.
                        app_transactions=[deltalake.Transaction(f"payoff:{self._name}", self._next(table))],
                        max_commit_retries=0,
                    ),
                )
            except (deltalake.exceptions.CommitFailedError, deltalake.exceptions.DeltaError, OSError) as error:
                if attempt == _AGAIN or not _met(error):
                    raise
            else:
                return Written(identity=artifact.id, rows=rows)

    def _next(self, table: deltalake.DeltaTable | None) -> int:
        last = table.transaction_version(f"payoff:{self._name}") if table is not None else None
        return 0 if last is None else last + 1

    def _table(self) -> deltalake.DeltaTable | None:
        options = self._options.storage_options or None
        if not deltalake.DeltaTable.is_deltatable(self._uri, options):
            return None
        return deltalake.DeltaTable(self._uri, storage_options=options)

    def _there(self, table: deltalake.DeltaTable) -> str | None:
        for entry in table.history():
            if entry.get("operation") not in _UPKEEP:
                found = entry.get(_MARK)
                return None if found is None else str(found)
        return None

    def _appended(self, table: deltalake.DeltaTable, identity: str) -> bool:
        return self._options.mode == "append" and any(each.get(_MARK) == identity for each in table.history())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (deltalake.exceptions.DeltaError, OSError) as error:
            raise OutsideError(
                f"sink {self._name}: the Delta table cannot be written or read ({type(error).__name__})",
                code="PO-N010",
                expected="a place that this user may write to, with a log that is whole",
                remedy=f"look at path of [sinks.{self._name}], then payoff run: finished steps are not repeated",
                retryable=True,
            ) from error


def held(sink: str, schema: pa.Schema) -> pa.Schema:
    """The types under which Delta holds each column exactly; others are refused by name."""
    return pa.schema([pa.field(field.name, _held(sink, field, field.type)) for field in schema])


def _held(sink: str, field: pa.Field, kind: pa.DataType) -> pa.DataType:
    of = pa.types
    if of.is_dictionary(kind):
        return _held(sink, field, kind.value_type)
    if of.is_timestamp(kind):
        return pa.timestamp("us", kind.tz and "UTC")
    if of.is_uint8(kind) or of.is_uint16(kind):
        return pa.int32()
    if of.is_uint32(kind):
        return pa.int64()
    if of.is_list(kind) or of.is_large_list(kind):
        return pa.list_(_held(sink, field, kind.value_type))
    if of.is_struct(kind):
        return pa.struct([pa.field(part.name, _held(sink, field, part.type)) for part in kind])
    if of.is_map(kind):
        return pa.map_(_held(sink, field, kind.key_type), _held(sink, field, kind.item_type))
    simple = (
        of.is_signed_integer, of.is_float32, of.is_float64, of.is_boolean, of.is_string, of.is_large_string, of.is_binary, of.is_large_binary, of.is_date32, of.is_decimal128,
    )  # fmt: skip
    if any(test(kind) for test in simple):
        return kind
    raise unfit(
        sink, field.name, str(field.type), "types that Delta has: no times of day, durations or unsigned 64 bits"
    )


def _rows(file: str) -> pa.RecordBatchReader:
    opened = pa.ipc.open_file(pa.memory_map(file))
    batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
    return pa.RecordBatchReader.from_batches(opened.schema, batches)


def _met(error: Exception) -> bool:
    """True when another commit came first."""
    text = str(error).lower()
    return any(
        word in text for word in ("conflict", "concurrent", "already exists", "retries", "version", "transaction")
    )
