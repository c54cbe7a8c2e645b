"""An Apache Iceberg table in a catalog: each write is one commit, whose snapshots say what they hold; earlier snapshots stay readable."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
import time
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.ports.columns import plain
from payoff.ports.sink import taken, unfit
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from pyiceberg import catalog as catalogs
    from pyiceberg import exceptions
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction
else:
    pa, catalogs = lazy.Module("pyarrow"), lazy.Module("pyiceberg.catalog")
    exceptions = lazy.Module("pyiceberg.exceptions")

_MODES = ("replace", "append")
CAPABILITIES = {"atomic": True, "modes": _MODES}
_MARK, _MODE = "payoff.identity", "payoff.mode"
_AGAIN = 20  # times that a commit is tried when others commit at the same moment
_SQLITE = "sqlite:///"
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+:")
_DENIED = {"UnauthorizedError", "ForbiddenError", "AuthorizationExpiredError", "OAuthError", "PermissionError"}
_SETTING = {"NotInstalledError", "ModuleNotFoundError", "NoSuchPropertyException", "ValidationError", "NoRegionError"}
# Another writer made the table, the namespace or a snapshot first.
_MET = {
    "CommitFailedException",
    "TableAlreadyExistsError",
    "NamespaceAlreadyExistsError",
    "IntegrityError",
    "NoSuchTableError",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """`into`: `namespace.table`; both are made where they are not there. `catalog`: pyiceberg's properties (`{ type = "rest", uri = "https://…", token = "${TOKEN}" }`; `sql`,
    `glue`, `hive`; of an `sql` catalog in SQLite, `uri = "sqlite:///lake/catalog.db"` and `warehouse = "lake"` are relative to the project), or `catalog_name`, as pyiceberg's own configuration knows
    it. `mode`: `replace` all rows, or `append` each table once. `adopt`: replace a table that Payoff did not write.
    """

    into: str
    catalog: dict[str, str] = dataclasses.field(default_factory=dict)
    catalog_name: str = ""
    mode: str = "replace"
    adopt: bool = False


def connect(name: str, options: Options, root: Path) -> Iceberg:
    """An Iceberg table; nothing is opened yet."""
    if options.mode not in _MODES:
        raise UserError(
            f"sink {name}: mode is {options.mode!r}",
            code="PO-N005",
            expected='mode = "replace" or "append"',
            remedy=f"correct [sinks.{name}] of payoff.toml",
        )
    return Iceberg(name, options, root)


class Iceberg:
    """See `ports.sink.Sink`. Two writers at once: one commits, the other sees it and commits after it."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._root = root

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """Files first, which nobody sees, then one commit."""
        schema = held(self._name, reader.schema)
        with self._told(), self._opened() as catalog:
            if self._done(self._table(catalog), artifact.id):
                return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
        with tempfile.TemporaryDirectory(prefix="payoff-") as folder:  # a commit that came second is made again
            file = os.path.join(folder, "rows.arrow")
            rows = self._kept(reader, schema, file)
            with self._told(), self._opened() as catalog:
                return self._commit(catalog, file, rows, artifact)

    def written(self) -> str | None:
        """The id in the newest snapshot that changed rows."""
        with self._told(), self._opened() as catalog:
            table = self._table(catalog)
            return None if table is None else _there(table)

    def describe(self) -> dict[str, Any]:
        """Catalog and table, without properties; a catalog in SQLite can be watched."""
        options = self._options
        where = options.catalog.get("uri") or options.catalog_name or options.catalog.get("type", "")
        address = re.sub(r"//[^@/]*@", "//", where.partition("?")[0])
        uri = self._properties().get("uri", "")
        watch = {"watch": [uri.removeprefix(_SQLITE)]} if uri.startswith(_SQLITE) else {}
        return {"kind": "iceberg", "address": address, "table": options.into, "mode": options.mode, **watch}

    def _kept(self, reader: pa.RecordBatchReader, schema: pa.Schema, file: str) -> int:
        rows = 0
        with pa.OSFile(file, "wb") as stream, pa.ipc.new_file(stream, schema) as writer:
            for batch in reader:
                try:
                    fitting = batch.cast(schema)
                except pa.ArrowInvalid:
                    raise self._too_fine(reader.schema, schema) from None
                writer.write_batch(fitting)
                rows += batch.num_rows
        return rows

    def _commit(self, catalog: Catalog, file: str, rows: int, artifact: Artifact) -> Written:
        marks = {_MARK: artifact.id, _MODE: self._options.mode}
        attempt = 0
        while True:
            attempt += 1
            try:
                table = self._table(catalog)
                if self._done(table, artifact.id):
                    return Written(identity=artifact.id, rows=rows, already=True)
                self._put(catalog, table, file, marks)
            except Exception as error:
                if attempt == _AGAIN or not _met(error):
                    raise
                time.sleep(0.05 * attempt)
            else:
                return Written(identity=artifact.id, rows=rows)

    def _put(self, catalog: Catalog, table: Table | None, file: str, marks: dict[str, str]) -> None:
        if table is None:
            namespace = self._options.into.rpartition(".")[0]
            catalog.create_namespace_if_not_exists(namespace)
            with _rows(file) as reader:
                made = catalog.create_table_transaction(self._options.into, schema=reader.schema)
                with made as transaction:
                    transaction.append(reader, snapshot_properties=marks)
            return
        replaces = self._options.mode == "replace"
        ours = table.current_snapshot() is None or any(_mark(each) for each in table.snapshots())
        if replaces and not ours and not self._options.adopt:
            raise taken(self._name, self._options.into)
        # pyiceberg would put a commit that came second behind the other by itself: the same table would be there twice, appended.
        table.metadata.properties["commit.retry.num-retries"] = "0"
        with _rows(file) as reader, table.transaction() as transaction:
            self._shape(table, transaction, reader.schema)
            if replaces and not _is_empty(table):
                transaction.overwrite(reader, snapshot_properties=marks)
            else:
                transaction.append(reader, snapshot_properties=marks)

    def _shape(self, table: Table, transaction: Transaction, schema: pa.Schema) -> None:
        """Give the table the columns of the rows: replaced they are the rows' own, appended to they get those that are new."""
        there = plain(table.schema().as_arrow())
        if there.equals(plain(schema)):
            return
        if self._options.mode == "replace":
            with transaction.update_schema(allow_incompatible_changes=True) as update:
                for name in there.names:
                    update.delete_column((name,))
        try:
            with transaction.update_schema() as update:
                update.union_by_name(schema)
        except (exceptions.ValidationError, ValueError) as error:
            raise self._other_columns() from error

    def _done(self, table: Table | None, identity: str) -> bool:
        if table is None:
            return False
        if _there(table) == identity:
            return True
        ours = (each for each in table.snapshots() if _mark(each) == identity)
        return self._options.mode == "append" and any(
            each.summary and each.summary.get(_MODE) == "append" for each in ours
        )

    def _properties(self) -> dict[str, str]:
        properties = dict(self._options.catalog)
        uri = properties.get("uri", "")
        if uri.startswith(_SQLITE) and not uri.startswith(f"{_SQLITE}/"):
            properties["uri"] = f"{_SQLITE}{self._root / uri.removeprefix(_SQLITE)}"
        warehouse = properties.get("warehouse", "")
        if uri.startswith(_SQLITE) and warehouse and not _SCHEME.match(warehouse):
            properties["warehouse"] = str(self._root / warehouse)
        return properties

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Catalog]:
        properties = self._properties()
        if properties.get("uri", "").startswith(_SQLITE):
            os.makedirs(os.path.dirname(properties["uri"].removeprefix(_SQLITE)), exist_ok=True)
        name = self._options.catalog_name or "default"
        try:
            catalog = catalogs.load_catalog(name, **properties)
        except ValueError as error:
            raise self._unusable(error) from None
        except Exception as error:
            if "already exists" not in str(error):
                raise
            catalog = catalogs.load_catalog(
                name, **properties
            )  # another writer made the catalog's own tables at the same moment
        with contextlib.closing(catalog):
            yield catalog

    def _table(self, catalog: Catalog) -> Table | None:
        if "." not in self._options.into:
            raise self._wrong(f"into is {self._options.into!r}", 'into = "namespace.table"')
        try:
            return catalog.load_table(self._options.into)
        except (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError):
            return None

    # -- errors

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Pyiceberg's errors in our words; their own text may hold an address or a key and is not repeated."""
        try:
            yield
        except PayoffError:
            raise
        except Exception as error:
            kinds = {each.__name__ for each in type(error).__mro__}
            if kinds & _DENIED or re.search(r"ACCESS_DENIED|\b403\b|Forbidden", str(error)):
                raise self._refused() from None
            if kinds & _SETTING:
                raise self._unusable(error) from None
            if isinstance(error, NotImplementedError):
                raise self._wrong(
                    "the table is partitioned, which is not written to", "a table without partitions"
                ) from None
            raise OutsideError(
                f"sink {self._name}: the Iceberg table cannot be written or read ({type(error).__name__})",
                code="PO-N010",
                expected="a catalog that answers, and a store that this user may write to",
                remedy=f"look at catalog of [sinks.{self._name}], then payoff run: finished steps are not repeated",
                retryable=True,
            ) from None

    def _refused(self) -> UserError:
        return UserError(
            f"sink {self._name}: the catalog or its store refused the user, or the right to write",
            code="PO-N011",
            expected="credentials that may write the table",
            remedy=f"check the environment variables that catalog of [sinks.{self._name}] refers to",
        )

    def _unusable(self, error: Exception) -> UserError:
        return self._wrong(
            f"its catalog or store cannot be used ({type(error).__name__})",
            "properties that pyiceberg knows, and the packages that they need",
        )

    def _wrong(self, what: str, expected: str) -> UserError:
        return UserError(
            f"sink {self._name}: {what}",
            code="PO-N021",
            expected=expected,
            remedy=f"correct [sinks.{self._name}] of payoff.toml, or install what it needs: uv pip install 'pyiceberg[sql-sqlite,glue,hive]'",
        )

    def _other_columns(self) -> UserError:
        return UserError(
            f"sink {self._name}: {self._options.into} has columns of the same name and of types that do not fit",
            code="PO-N007",
            expected="columns of the types that are there, or wider ones that Iceberg may change them to",
            remedy=f'write mode = "replace" in [sinks.{self._name}], name another table, or cast the columns in a step',
        )

    def _too_fine(self, schema: pa.Schema, fitting: pa.Schema) -> UserError:
        pairs = [(a, b) for a, b in zip(schema, fitting, strict=True) if a.type != b.type]
        column = next((a for a, _ in pairs if pa.types.is_temporal(a.type)), pairs[0][0])
        return unfit(self._name, column.name, str(column.type), "times in microseconds at the finest")


def held(sink: str, schema: pa.Schema) -> pa.Schema:
    """The types under which Iceberg (format version 2) holds each column exactly; others are refused by name."""
    return pa.schema([pa.field(field.name, _held(sink, field, field.type)) for field in schema])


def _held(sink: str, field: pa.Field, kind: pa.DataType) -> pa.DataType:
    of = pa.types
    if of.is_dictionary(kind):
        return _held(sink, field, kind.value_type)
    if of.is_timestamp(kind):
        return pa.timestamp("us", kind.tz and "UTC")
    if of.is_time(kind):
        return pa.time64("us")
    if of.is_int8(kind) or of.is_int16(kind) or of.is_uint8(kind) or of.is_uint16(kind):
        return pa.int32()
    if of.is_uint32(kind):
        return pa.int64()
    if of.is_list(kind) or of.is_large_list(kind):
        return pa.list_(_held(sink, field, kind.value_type))
    if of.is_struct(kind):
        return pa.struct([pa.field(part.name, _held(sink, field, part.type)) for part in kind])
    if of.is_map(kind):
        return pa.map_(_held(sink, field, kind.key_type), _held(sink, field, kind.item_type))
    if of.is_large_string(kind):
        return pa.string()
    if of.is_large_binary(kind):
        return pa.binary()
    simple = (
        of.is_int32,
        of.is_int64,
        of.is_float32,
        of.is_float64,
        of.is_boolean,
        of.is_string,
        of.is_binary,
        of.is_date32,
        of.is_decimal128,
    )
    if any(test(kind) for test in simple):
        return kind
    raise unfit(sink, field.name, str(field.type), "types that Iceberg has: no durations, no unsigned 64 bits")


def _met(error: Exception) -> bool:
    """True when another writer came first."""
    kinds = {each.__name__ for each in type(error).__mro__}
    return bool(kinds & _MET) or "database is locked" in str(error)


def _mark(snapshot: Any) -> str | None:
    found = snapshot.summary.get(_MARK) if snapshot.summary else None
    return None if found is None else str(found)


def _there(table: Table) -> str | None:
    """What the table holds by its newest snapshot; a compaction (`replace`) changes no row."""
    snapshot = table.current_snapshot()
    while snapshot is not None and snapshot.summary is not None and snapshot.summary.operation.value == "replace":
        snapshot = table.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return None if snapshot is None else _mark(snapshot)


def _is_empty(table: Table) -> bool:
    snapshot = table.current_snapshot()
    return snapshot is None or (snapshot.summary is not None and snapshot.summary.get("total-data-files") == "0")


@contextlib.contextmanager
def _rows(file: str) -> Iterator[pa.RecordBatchReader]:
    with pa.memory_map(file) as mapped:
        opened = pa.ipc.open_file(mapped)
        batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        yield pa.RecordBatchReader.from_batches(opened.schema, batches)
