"""A table in one file: Parquet, CSV, JSON lines or Arrow, on local disk or where fsspec leads to.

Locally the file is written aside and renamed. Elsewhere it is written here and put there in one piece. Beside it lies `.NAME.payoff.json`, by which the
sink knows its table again; a file without one is somebody else's, and is left alone unless `adopt` is set.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.adapters.sinks.files.ways import WAYS, refuse
from payoff.base import hashing
from payoff.base.errors import OutsideError, UserError
from payoff.base.files import write_atomically
from payoff.ports.sink import taken
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    import pyarrow as pa

CAPABILITIES = {"atomic": True, "modes": ("replace",)}
_ENDINGS = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".arrow": "arrow", ".feather": "arrow",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: relative to the project, absolute, or an fsspec address (`s3://bucket/x.parquet`). `format`: `parquet`, `csv`, `json` (one object a line) or
    `arrow`; by the ending unless said. `compression`: of Parquet. `adopt`: replace a file that Payoff did not write. `storage_options`: handed to fsspec.
    """

    path: str
    format: str = ""
    compression: str = "zstd"
    adopt: bool = False
    storage_options: dict[str, Any] = dataclasses.field(default_factory=dict)


def connect(name: str, options: Options, root: Path) -> Files:
    """A file; nothing is opened yet."""
    return Files(name, options, root)


class Mark(msgspec.Struct, frozen=True):
    """What lies beside the file: which table it is, the digest of its bytes, and by what it is known again without reading it."""

    identity: str
    rows: int
    digest: str
    stamp: tuple[Any, ...]


class Files:
    """See `ports.sink.Sink`."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._format = options.format or _ENDINGS.get(Path(options.path).suffix.lower(), "")
        if self._format not in WAYS:
            raise UserError(
                f"sink {name}: no format is known for {Path(options.path).name}",
                code="PO-N020",
                expected=f"one of {', '.join(WAYS)}",
                remedy=f"write format = ... in [sinks.{name}], or give path such an ending",
            )
        local = options.path.removeprefix("file://")
        self._place: _Local | _Remote = (
            _Remote(name, options) if "://" in local else _Local(name, root / local, options)
        )

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """The whole file aside, then its mark, then the file in its place."""
        if self.written() == artifact.id:
            return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
        if not self._options.adopt and self._place.occupied():
            raise taken(self._name, self._options.path)
        refuse(self._name, reader.schema, self._format)
        with self._place.told(), tempfile.TemporaryDirectory(dir=self._place.aside(), prefix=".payoff-") as folder:
            aside = Path(folder) / "new"
            rows = WAYS[self._format](reader, aside, self._name, self._options)
            with open(aside, "rb") as stream:
                os.fsync(stream.fileno())
            self._place.put(aside, artifact.id, rows)
        return Written(identity=artifact.id, rows=rows)

    def written(self) -> str | None:
        """The id in the mark, when the file is the one that the mark was made for."""
        with self._place.told():
            mark = self._place.mark()
            return mark.identity if mark is not None and self._place.is_of(mark) else None

    def describe(self) -> dict[str, Any]:
        """The path; local files can be watched."""
        return {"kind": "files", "address": self._options.path, "format": self._format, **self._place.watch()}


class _Local:
    """A file of this machine."""

    def __init__(self, name: str, path: Path, options: Options) -> None:
        self.name = name
        self.path = path
        self.beside = path.with_name(f".{path.name}.payoff.json")

    def aside(self) -> str:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return str(self.path.parent)

    def put(self, aside: Path, identity: str, rows: int) -> None:
        # A kill between the two leaves a mark that fits no file: the old table is there, and is written again.
        mark = Mark(identity, rows, hashing.of_file(aside), _stamp(aside))
        write_atomically(self.beside, msgspec.json.encode(mark))
        aside.chmod(0o644)
        aside.replace(self.path)

    def mark(self) -> Mark | None:
        try:
            return msgspec.json.decode(self.beside.read_bytes(), type=Mark)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def is_of(self, mark: Mark) -> bool:
        if not self.path.is_file():
            return False
        return _stamp(self.path) == mark.stamp or hashing.of_file(self.path) == mark.digest

    def occupied(self) -> bool:
        return self.path.exists() and self.mark() is None

    def watch(self) -> dict[str, Any]:
        return {"watch": [str(self.path), str(self.beside)]}

    def told(self) -> _Told:
        return _Told(self.name)


class _Remote:
    """An object in a store, as fsspec shows it."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options

    def _system(self) -> tuple[Any, str]:
        import fsspec

        found: tuple[Any, str] = fsspec.core.url_to_fs(self.options.path, **self.options.storage_options)
        return found

    def aside(self) -> str | None:
        return None

    def put(self, aside: Path, identity: str, rows: int) -> None:
        system, path = self._system()
        mark = Mark(identity, rows, hashing.of_file(aside), ())
        with system.open(self._beside(path), "wb") as stream:
            stream.write(msgspec.json.encode(mark))
        system.put_file(str(aside), path)
        system.invalidate_cache()
        stamped = msgspec.structs.replace(mark, stamp=_token(system.info(path)))
        with system.open(self._beside(path), "wb") as stream:
            stream.write(msgspec.json.encode(stamped))

    def mark(self) -> Mark | None:
        system, path = self._system()
        system.invalidate_cache()
        try:
            with system.open(self._beside(path), "rb") as stream:
                return msgspec.json.decode(stream.read(), type=Mark)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def is_of(self, mark: Mark) -> bool:
        system, path = self._system()
        return bool(mark.stamp) and system.exists(path) and _token(system.info(path)) == mark.stamp

    def occupied(self) -> bool:
        system, path = self._system()
        return bool(system.exists(path)) and self.mark() is None

    def watch(self) -> dict[str, Any]:
        return {}

    def told(self) -> _Told:
        return _Told(self.name)

    def _beside(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        return f"{folder}/.{name}.payoff.json"


class _Told:
    """What the file system says, in our words."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise OutsideError(
                f"sink {self.name}: its file cannot be written or read ({os.strerror(error.errno) if error.errno else type(error).__name__})",
                code="PO-N010",
                expected="a place that this user may write to, with space left",
                remedy=f"look at path of [sinks.{self.name}], then payoff run: finished steps are not repeated",
                retryable=True,
            ) from error


def _stamp(path: Path) -> tuple[Any, ...]:
    found = path.stat()
    return (found.st_size, found.st_mtime_ns, found.st_ino)


def _token(info: dict[str, Any]) -> tuple[Any, ...]:
    known = (info.get(name) for name in ("ETag", "etag", "generation", "LastModified", "mtime", "created"))
    return (info.get("size"), str(next((each for each in known if each), "")))
