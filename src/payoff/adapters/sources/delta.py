"""A Delta Lake table, on local disk or in an object store, streamed as Arrow batches.

delta-rs reads it, so that deletion vectors, partition columns, renamed columns and changed schemas come out as the log says; what it does not know
of a newer protocol it refuses. Not by its `to_pyarrow_table`, which ends the interpreter with an abort.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.ports.columns import chosen, fitted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import deltalake
    import pyarrow as pa
else:
    pa, deltalake = lazy.Module("pyarrow"), lazy.Module("deltalake")

CAPABILITIES = {"columns": True, "version": True, "streams": False}
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://")
_BEYOND = (  # what an error says -> what it means; the error's own text may hold an address or a key and is not repeated
    (r"403|Forbidden|AccessDenied|InvalidAccessKey|SignatureDoesNotMatch|[Cc]redential|401|Unauthorized", "refused"),
    (r"not found|NotFound|No such file", "gone"),
)


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: the table's folder, relative to the project, or an address (`s3://bucket/table`, `gs://`, `az://`). `version`: a number, or `timestamp` with its
    zone (`2026-11-01T00:00:00Z`), of an earlier state of the table (the newest unless said). `storage_options`: keys of the object store, secrets as `${ENV_VAR}`.
    """

    path: str
    version: int | None = None
    timestamp: str = ""
    storage_options: dict[str, str] = dataclasses.field(default_factory=dict)


def connect(name: str, options: Options, root: Path) -> Delta:
    """A Delta table; nothing is opened yet."""
    return Delta(name, options, root)


class Delta:
    """See `ports.source.Source`. Each call sees one version of the table, whole: what is committed meanwhile comes with the next call."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._remote = bool(_SCHEME.match(options.path))
        self._address = options.path if self._remote else str(root / options.path)

    def schema(self) -> pa.Schema:
        """As the table's log declares it."""
        return self._schema(self._table())

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Arrow batches of the columns asked for, file after file."""
        table = self._table()
        wanted = chosen(self._name, self._schema(table), columns)
        return pa.RecordBatchReader.from_batches(wanted, self._batches(table, wanted))

    def version(self) -> str | None:
        """The table's id and the number of its newest (or the chosen) version."""
        table = self._table()
        with self._told():
            return hashing.of_json([str(table.metadata().id), table.version()])

    def describe(self) -> dict[str, Any]:
        """The address, without options and without what stands before an `@`."""
        shown = re.sub(r"//[^@/]*@", "//", self._options.path.partition("?")[0])
        facts: dict[str, Any] = {"kind": "delta", "address": shown}
        if self._options.version is not None or self._options.timestamp:
            facts["version"] = self._options.timestamp or self._options.version
        if not self._remote:
            facts["watch"] = [str(Path(self._address) / "_delta_log")]
        return facts

    def _table(self) -> deltalake.DeltaTable:
        """The table as it is now, or at the chosen time."""
        options = self._options
        if options.version is not None and options.timestamp:
            raise self._wrong_time("both version and timestamp are given", "one of them")
        if options.version is not None and options.version < 0:
            raise self._wrong_time("version is below zero", "the number of a version")
        with self._told():
            if not self._remote and not Path(self._address).is_dir():
                raise self._none()
            made = deltalake.DeltaTable(
                self._address, version=options.version, storage_options={**options.storage_options} or None
            )
            return self._at_time(made) if options.timestamp else made

    def _at_time(self, table: deltalake.DeltaTable) -> deltalake.DeltaTable:
        """The version that was the newest at a time; delta-rs would take the first one for a time before all."""
        try:
            wanted = dt.datetime.fromisoformat(self._options.timestamp)
        except ValueError:
            wanted = None
        if wanted is None or wanted.tzinfo is None:
            raise self._wrong_time(
                "timestamp is no point in time", "a date and time with its zone, as 2026-11-01T00:00:00Z"
            )
        commits = {commit.get("version"): commit for commit in table.history()}  # of an older version it counts wrongly
        table.load_as_version(wanted)
        if int(commits.get(table.version(), {}).get("timestamp", 0)) > wanted.timestamp() * 1000:
            raise self._wrong_time("the table did not exist at that time", "a time at or after its first version")
        return table

    def _schema(self, table: deltalake.DeltaTable) -> pa.Schema:
        with self._told():
            return plain(pa.schema(table.schema().to_arrow()))

    def _batches(self, table: deltalake.DeltaTable, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        if not len(wanted):
            return
        listed = ", ".join('"' + name.replace('"', '""') + '"' for name in wanted.names)
        rows = 0
        with self._told():
            expected = _promised(table)
            session = deltalake.QueryBuilder().register("wanted", table)
            list(session.execute("set datafusion.execution.target_partitions = 1"))  # rows in one order, few in memory
            with pa.RecordBatchReader.from_stream(session.execute(f"select {listed} from wanted")) as reader:
                for batch in reader:
                    rows += batch.num_rows
                    yield fitted(batch, wanted)
        if expected is not None and rows != expected:
            raise self._outside(f"{rows:,} rows were read, its log promises {expected:,}", "a table that is whole")

    def _told(self) -> _Told:
        return _Told(self)

    def translate(self, error: BaseException) -> PayoffError | None:
        """delta-rs's errors in our words, or None for what is not its."""
        if isinstance(error, PayoffError) or not isinstance(error, Exception):
            return None
        kind, text = type(error).__name__, str(error)
        if kind == "TableNotFoundError" or "No files in log segment" in text:
            return self._none()
        if "not the same as the specified end version" in text or "Invalid table version" in text:
            return self._wrong_time(f"there is no version {self._options.version}", "a version that the log still has")
        if kind == "DeltaProtocolError" or "nsupported" in text:
            return UserError(
                f"source {self._name}: {self._shown()} uses a feature of Delta Lake that cannot be read here",
                code="PO-S203",
                expected="a table of reader version 1 to 3 with deletion vectors, column mapping or none",
                remedy="drop the feature from the table, or read it through an engine that knows it",
            )
        if not (isinstance(error, OSError | ValueError | pa.ArrowException) or type(error).__module__ == "_internal"):
            return None
        found = next((meaning for pattern, meaning in _BEYOND if re.search(pattern, text)), "")
        if found == "refused":
            return self._outside("the store refused access", "credentials that may list and read it", retry=False)
        if found == "gone":
            return self._outside("a file that its log names is gone", "all files of the version that is read")
        return self._outside(f"it cannot be read ({kind})", "a store that answers, and whole files")

    def _shown(self) -> str:
        return str(self.describe()["address"])

    def _none(self) -> UserError:
        return UserError(
            f"source {self._name}: there is no Delta table at {self._shown()}",
            code="PO-S200",
            expected="a folder with a _delta_log that has a version",
            remedy=f"correct path in [sources.{self._name}] of payoff.toml",
        )

    def _wrong_time(self, what: str, expected: str) -> UserError:
        return UserError(
            f"source {self._name}: {self._shown()}: {what}",
            code="PO-S201",
            expected=expected,
            remedy=f"correct version or timestamp in [sources.{self._name}] of payoff.toml",
        )

    def _outside(self, what: str, expected: str, *, retry: bool = True) -> OutsideError:
        return OutsideError(
            f"source {self._name}: {self._shown()}: {what}",
            code="PO-S202",
            expected=expected,
            remedy=f"check path and storage_options of [sources.{self._name}] and the store, then run again",
            retryable=retry,
        )


class _Told:
    """Says what delta-rs says, for the length of a `with`."""

    def __init__(self, source: Delta) -> None:
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        said = None if error is None else self.source.translate(error)
        if said is not None:
            raise said from None


def _promised(table: deltalake.DeltaTable) -> int | None:
    """How many rows the log says there are, where it says so for every file and none is deleted within one."""
    if "deletionVectors" in (table.protocol().reader_features or ()):
        return None
    counts = pa.table(table.get_add_actions(flatten=True))
    if "num_records" not in counts.column_names or counts["num_records"].null_count:
        return None
    return int(sum(counts["num_records"].to_pylist()))
