"""An Apache Iceberg table, by its catalog or by its metadata file, streamed as Arrow batches.

pyiceberg reads it: changed schemas, partitions, positional deletes and deletion vectors come out as the snapshot says. Equality deletes, which it cannot
apply, are refused. Data files are read one after the other and in batches; pyiceberg's own reader keeps whole files, several at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.ports.columns import chosen, fitted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from pyiceberg.table import DataScan, FileScanTask, Table
else:
    pa = lazy.Module("pyarrow")

CAPABILITIES = {"columns": True, "version": True, "streams": False}
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://")
_SQLITE = "sqlite:///"
_DENIED = {"UnauthorizedError", "ForbiddenError", "AuthorizationExpiredError", "OAuthError", "PermissionError"}
_GONE = {"NoSuchTableError", "NoSuchIcebergTableError", "NoSuchNamespaceError", "NoSuchIdentifierError"}
_SETTING = {"NotInstalledError", "ModuleNotFoundError", "NoSuchPropertyException", "ValidationError", "NoRegionError"}


@dataclasses.dataclass(frozen=True)
class Options:
    """`table` (`namespace.table`) in a catalog: `catalog`, pyiceberg's properties (`{ type = "rest", uri = "https://…", token = "${TOKEN}" }`; `sql`, `glue`, `hive`), or
    `catalog_name`, as pyiceberg's own configuration knows it (and an `sql` catalog's own name, `default` unless said). Or `path`: a `….metadata.json`, or a table's folder with a version hint, and `properties` of its
    store (`s3.access-key-id`, …). `snapshot`: the id of an earlier state, or `ref`: a branch or tag (the newest of the main branch unless said).
    """

    table: str = ""
    catalog: dict[str, str] = dataclasses.field(default_factory=dict)
    catalog_name: str = ""
    path: str = ""
    properties: dict[str, str] = dataclasses.field(default_factory=dict)
    snapshot: int | None = None
    ref: str = ""


def connect(name: str, options: Options, root: Path) -> Iceberg:
    """An Iceberg table; nothing is opened yet."""
    return Iceberg(name, options, root)


class Iceberg:
    """See `ports.source.Source`. Each call sees one snapshot of the table, whole: what is committed meanwhile comes with the next call."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._root = root

    def schema(self) -> pa.Schema:
        """Of the snapshot that is read."""
        with self._told():
            return _schema(self._scan())

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Arrow batches of the columns asked for, data file after data file."""
        with self._told():
            scan = self._scan()
            wanted = chosen(self._name, _schema(scan), columns)
            scan = scan.select(*wanted.names)
            tasks = sorted(scan.plan_files(), key=lambda task: str(task.file.file_path))
        return pa.RecordBatchReader.from_batches(wanted, self._batches(scan, tasks, wanted))

    def version(self) -> str | None:
        """The table's id, the snapshot and the schema."""
        with self._told():
            scan = self._scan()
            found = scan.snapshot()
            marks = [str(scan.table_metadata.table_uuid), found.snapshot_id if found else None]
            return hashing.of_json([*marks, scan.projection().schema_id])

    def describe(self) -> dict[str, Any]:
        """Catalog and table, or the metadata file, without properties."""
        options = self._options
        where = options.path or options.catalog.get("uri") or options.catalog_name or options.catalog.get("type", "")
        address = re.sub(r"//[^@/]*@", "//", where.partition("?")[0])
        facts: dict[str, Any] = {"kind": "iceberg", "address": address, "table": options.table}
        if options.snapshot is not None or options.ref:
            facts["version"] = options.ref or options.snapshot
        return facts

    def _scan(self) -> DataScan:
        """A scan of all columns of the snapshot that is asked for."""
        options = self._options
        if bool(options.path) == bool(options.catalog or options.catalog_name):
            raise self._wrong(
                "it has no catalog, or path beside one", "either path, or table with catalog or catalog_name"
            )
        table = self._static() if options.path else self._cataloged()
        snapshot = options.snapshot
        if options.ref:
            if options.ref not in table.metadata.refs or snapshot is not None:
                raise self._no_snapshot(f"there is no branch or tag {options.ref}, or snapshot is given beside it")
            snapshot = table.metadata.refs[options.ref].snapshot_id
        if snapshot is not None and table.snapshot_by_id(snapshot) is None:
            raise self._no_snapshot(f"there is no snapshot {snapshot}")
        return table.scan(snapshot_id=snapshot)

    def _static(self) -> Table:
        from pyiceberg.table import StaticTable

        path = self._options.path
        if not _SCHEME.match(path):
            path = str(self._root / path)
            if not Path(path).exists():
                raise self._none()
        return StaticTable.from_metadata(path, self._options.properties)

    def _cataloged(self) -> Table:
        from pyiceberg.catalog import load_catalog

        if not self._options.table:
            raise self._wrong("it has no table", "table = 'namespace.table'")
        properties = {"init_catalog_tables": "false", **self._options.properties, **self._options.catalog}
        uri = properties.get("uri", "")
        if uri.startswith(_SQLITE) and not uri.startswith(f"{_SQLITE}/"):
            properties["uri"] = uri = f"{_SQLITE}{self._root / uri.removeprefix(_SQLITE)}"
        if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).is_file():
            raise self._none()  # SQLite would make an empty one
        try:
            catalog = load_catalog(self._options.catalog_name or "default", **properties)
        except ValueError as error:
            raise self._unusable(error) from None
        with contextlib.closing(catalog):
            return catalog.load_table(self._options.table)

    def _batches(self, scan: DataScan, tasks: list[FileScanTask], wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        if not len(wanted):
            return
        with self._told():
            stream = _streaming(scan)
            for task in tasks:
                rows = 0
                for batch in stream(task):
                    rows += batch.num_rows
                    yield fitted(batch.select(wanted.names), wanted)
                if not task.delete_files and rows != task.file.record_count:
                    raise self._outside(
                        f"a data file has {rows:,} rows, its manifest promises {task.file.record_count:,}"
                    )

    # -- errors

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Pyiceberg's errors in our words; their own text may hold an address or a key and is not repeated."""
        try:
            yield
        except PayoffError:
            raise
        except Exception as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> PayoffError:
        kinds, text = {each.__name__ for each in type(error).__mro__}, str(error)
        if "equality delete" in text:
            return UserError(
                f"source {self._name}: {self._shown()} has equality deletes, which cannot be applied here",
                code="PO-S213",
                expected="a snapshot without deletes, or with positional deletes or deletion vectors",
                remedy="compact the table where it is written (rewrite_data_files), or read it through an engine that applies them",
            )
        if kinds & _GONE or ("no such table" in text.lower() and "sql" in type(error).__module__):
            return self._none()
        if kinds & _DENIED or re.search(r"ACCESS_DENIED|403|Forbidden", text):
            return self._outside("access was refused", retry=False)
        if isinstance(error, FileNotFoundError):
            return self._outside("a file that its metadata names is gone", retry=False)
        if kinds & _SETTING:
            return self._unusable(error)
        if isinstance(error, NotImplementedError) or "nsupported" in text:
            return self._wrong(
                f"a feature of the table cannot be read ({type(error).__name__})", "a table of format version 1, 2 or 3"
            )
        return self._outside(f"it cannot be read ({type(error).__name__})")

    def _shown(self) -> str:
        described = self.describe()
        return " ".join(str(described[key]) for key in ("address", "table") if described[key])

    def _none(self) -> UserError:
        return UserError(
            f"source {self._name}: there is no Iceberg table {self._shown()}",
            code="PO-S210",
            expected="a table that the catalog lists, or a metadata file",
            remedy=f"correct table, catalog or path in [sources.{self._name}] of payoff.toml",
        )

    def _no_snapshot(self, what: str) -> UserError:
        return UserError(
            f"source {self._name}: {self._shown()}: {what}",
            code="PO-S211",
            expected="a snapshot, branch or tag that the table still has",
            remedy=f"correct snapshot or ref in [sources.{self._name}] of payoff.toml",
        )

    def _outside(self, what: str, *, retry: bool = True) -> OutsideError:
        return OutsideError(
            f"source {self._name}: {self._shown()}: {what}",
            code="PO-S212",
            expected="a catalog and a store that answer, and whole files",
            remedy=f"check the addresses and credentials of [sources.{self._name}], then run again",
            retryable=retry,
        )

    def _unusable(self, error: Exception) -> UserError:
        return self._wrong(
            f"its catalog or store cannot be used ({type(error).__name__})",
            "properties that pyiceberg knows, and the packages that they need",
        )

    def _wrong(self, what: str, expected: str) -> UserError:
        return UserError(
            f"source {self._name}: {what}",
            code="PO-S214",
            expected=expected,
            remedy=f"correct [sources.{self._name}] of payoff.toml, or install what it needs: uv pip install 'pyiceberg[sql-sqlite,glue,hive]'",
        )


def _schema(scan: DataScan) -> pa.Schema:
    return plain(scan.projection().as_arrow())


def _streaming(scan: DataScan) -> Any:
    """What reads one data file batch by batch, its deletes applied."""
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan, _read_all_delete_files

    class Stream(ArrowScan):
        """As pyiceberg reads a file for its own threads, but not collected in a list. Its inner names: pinned to one minor version."""

        def rows(self, task: FileScanTask) -> Iterator[pa.RecordBatch]:
            deletes = _read_all_delete_files(self._io, [task])
            yield from self._record_batches_from_scan_tasks_and_deletes([task], deletes)

    return Stream(scan.table_metadata, scan.io, scan.projection(), AlwaysTrue()).rows
