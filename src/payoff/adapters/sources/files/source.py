"""A table in files."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import glob
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.adapters.sources.files.broken import Told, refuse_odd
from payoff.adapters.sources.files.remote import Remote
from payoff.base import hashing, lazy
from payoff.base.errors import UserError
from payoff.base.text import nearest
from payoff.ports.columns import chosen, declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.json as pajson
    import pyarrow.parquet as pq
else:  # not pyarrow.dataset, which imports pandas where that is installed: half a second
    pa, pacsv = lazy.Module("pyarrow"), lazy.Module("pyarrow.csv")
    pajson, pq = lazy.Module("pyarrow.json"), lazy.Module("pyarrow.parquet")

CAPABILITIES = {"columns": True, "version": True, "streams": False}
_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".arrow": "arrow",
}
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://")
_BLOCK = 4 << 20
_ROWS = 1 << 17


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: a path, a glob or a list of them, relative to the project, or an fsspec address (`s3://bucket/x.parquet`).

    `format`: `csv`, `parquet`, `json` (one object a line) or `arrow`; by the ending unless said. `delimiter`, `encoding`: of CSV. `types`: column -> Arrow type
    (`int64`, `float64`, `string`, `bool`, `date32`, `timestamp[us, tz=UTC]`), for CSV and JSON, where types are inferred from the first block.
    `nulls`: texts that stand for a missing value in CSV. `storage_options`: handed to fsspec.
    """

    path: str | list[str]
    format: str = ""
    delimiter: str = ""
    encoding: str = "utf-8"
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    nulls: list[str] = dataclasses.field(default_factory=lambda: ["", "NA", "N/A", "NULL", "null", "NaN", "nan"])
    storage_options: dict[str, Any] = dataclasses.field(default_factory=dict)


def connect(name: str, options: Options, root: Path) -> Files:
    """A table in files; nothing is opened yet."""
    return Files(name, options, root)


class Files:
    """See `ports.source.Source`."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._root = root
        self._far = Remote(name, self._paths(), options.storage_options)

    def schema(self) -> pa.Schema:
        """Of the first file for CSV and JSON, unified over all files for the rest."""
        files = self._files()
        kind = self._kind(files[0])
        if kind in {"csv", "json"}:
            if self._nothing(files[0], kind):
                return pa.schema(list(self._types().items()))
            types = self._types()
            with self._told(files[0]), self._reader(files[0], kind, None) as reader:
                refuse_odd(reader.schema, types)
                return pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in reader.schema])
        schemas = []
        for file in files:
            with self._told(file), self._whole(file, self._kind(file)) as (schema, _):
                schemas.append(schema)
        with self._told(files[0]):
            return pa.unify_schemas(schemas)

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """One batch after the other, file after file."""
        schema = self.schema()
        wanted = chosen(self._name, schema, columns)
        return pa.RecordBatchReader.from_batches(wanted, self._batches(wanted))

    def version(self) -> str | None:
        """Names, sizes, times of change and inodes of local files; what fsspec says of remote ones."""
        files = self._files()
        if self._remote():
            marks = [self._far.mark(file) for file in files]
            return None if None in marks else hashing.of_json(marks)
        stats = [(file, os.stat(file)) for file in files]
        return hashing.of_json([[os.path.relpath(f, self._root), s.st_size, s.st_mtime_ns, s.st_ino] for f, s in stats])

    def describe(self) -> dict[str, Any]:
        """The address, without its options (which may hold secrets); `watch`: the local files and folders it depends on."""
        facts: dict[str, Any] = {"kind": "files", "address": self._far.shown()}
        if not self._remote():
            files = self._files()
            facts["watch"] = sorted({*files, *(str(Path(file).parent) for file in files if self._globbed())})
        return facts

    # -- where the files are

    def _paths(self) -> list[str]:
        return [self._options.path] if isinstance(self._options.path, str) else list(self._options.path)

    def _remote(self) -> bool:
        return any(_SCHEME.match(path) for path in self._paths())

    def _globbed(self) -> bool:
        return any(glob.has_magic(path) for path in self._paths())

    def _files(self) -> list[str]:
        if self._remote():
            files = self._far.files()
        else:
            files = []
            for path in self._paths():
                absolute = str(self._root / path)
                files += sorted(glob.glob(absolute, recursive=True)) if glob.has_magic(path) else [absolute]
        missing = [file for file in files if not self._remote() and not os.path.isfile(file)]
        if missing or not files:
            wanted = self._paths()[0] if not files else os.path.relpath(missing[0], self._root)
            raise UserError(
                f"source {self._name}: there is no file {wanted}",
                code="PO-S001",
                expected=self._near(wanted),
                remedy=f"put the file there, or correct path in [sources.{self._name}] of payoff.toml",
            )
        return files

    def _near(self, wanted: str) -> str:
        folder = self._root / os.path.dirname(wanted)
        names = os.listdir(folder) if folder.is_dir() else []
        near = nearest(os.path.basename(wanted), names)
        return (
            f"a file; the nearest there is {near}"
            if near
            else f"a file in {os.path.dirname(wanted) or 'the project folder'}"
        )

    def _kind(self, file: str) -> str:
        kind = self._options.format
        if not kind:
            kind = _ENDINGS.get(Path(file.removesuffix(".gz")).suffix.lower(), "")
        if kind not in {"csv", "parquet", "json", "arrow"}:
            raise UserError(
                f"source {self._name}: the format of {os.path.basename(file)} is not known",
                code="PO-S005",
                expected="csv, parquet, json or arrow",
                remedy=f'write format = "csv" into [sources.{self._name}] of payoff.toml',
            )
        return kind

    # -- reading

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        files = self._files()
        for file in files:
            kind = self._kind(file)
            same = self._far.same(file) if self._remote() else contextlib.nullcontext()
            with self._told(file), same:
                if self._nothing(file, kind):
                    continue
                if kind in {"csv", "json"}:
                    with self._reader(file, kind, schema) as reader:
                        yield from (_fit(batch, schema) for batch in reader if batch.num_rows)
                else:
                    with self._whole(file, kind) as (found, batches):
                        present = [name for name in schema.names if name in found.names]
                        yield from (_fit(batch, schema) for batch in batches(present) if batch.num_rows)

    @contextlib.contextmanager
    def _whole(
        self, file: str, kind: str
    ) -> Iterator[tuple[pa.Schema, Callable[[list[str]], Iterator[pa.RecordBatch]]]]:
        """The schema of a Parquet or Arrow file, and what reads some of its columns."""
        with self._seekable(file) as stream:
            if kind == "parquet":
                with pq.ParquetFile(stream, pre_buffer=True) as parquet:
                    schema = parquet.schema_arrow.remove_metadata()
                    yield schema, lambda columns: parquet.iter_batches(_ROWS, columns=columns)
            else:
                arrow = pa.ipc.open_file(stream)
                numbers = range(arrow.num_record_batches)
                yield (
                    arrow.schema.remove_metadata(),
                    lambda columns: (arrow.get_batch(number).select(columns) for number in numbers),
                )

    def _seekable(self, file: str) -> Any:
        if self._remote():
            return pa.PythonFile(self._far.open(file), mode="r")
        return pa.memory_map(file)

    def _nothing(self, file: str, kind: str) -> bool:
        """True for a JSON lines file without a row, which is an empty table when its types are declared."""
        return kind == "json" and bool(self._options.types) and not self._remote() and os.path.getsize(file) == 0

    def _types(self) -> dict[str, pa.DataType]:
        return declared(self._name, self._options.types)

    def _reader(self, file: str, kind: str, schema: pa.Schema | None) -> Any:
        types = {**({field.name: field.type for field in schema} if schema else {}), **self._types()}
        with self._told(file):
            stream = self._open(file)
            if kind == "json":
                explicit = pa.schema([(name, _readable(each)) for name, each in types.items()]) if types else None
                return pajson.open_json(
                    stream,
                    read_options=pajson.ReadOptions(block_size=_BLOCK),
                    parse_options=pajson.ParseOptions(
                        explicit_schema=explicit, unexpected_field_behavior="infer" if schema is None else "ignore"
                    ),
                )
            return pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(encoding=self._options.encoding, block_size=_BLOCK),
                parse_options=pacsv.ParseOptions(delimiter=self._delimiter(file)),
                convert_options=pacsv.ConvertOptions(
                    column_types=types,
                    include_columns=schema.names if schema else None,
                    null_values=self._options.nulls,
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )

    def _open(self, file: str) -> Any:
        zipped = "gzip" if file.endswith(".gz") else None
        if self._remote():
            raw = pa.PythonFile(self._far.open(file), mode="r")
            return pa.CompressedInputStream(raw, "gzip") if zipped else raw
        return pa.input_stream(file, compression=zipped)

    def _told(self, file: str) -> Told:
        shown = file if self._remote() else os.path.relpath(file, self._root)
        return Told(self._name, shown, lambda: self._records(file))

    def _records(self, file: str) -> Iterator[tuple[int, list[str]]]:
        """(line, fields) of a CSV file's records, as Python's own reader sees them: slow, for finding what is broken."""
        with io.TextIOWrapper(
            self._open(file), encoding=self._options.encoding, errors="replace", newline=""
        ) as stream:
            reader = csv.reader(stream, delimiter=self._delimiter(file))
            yield from ((reader.line_num, record) for record in reader)

    def _delimiter(self, file: str) -> str:
        return self._options.delimiter or ("\t" if ".tsv" in file else ",")


def _fit(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch in the table's schema: columns in its order, missing ones empty, types widened where files differ."""
    arrays = []
    for field in schema:
        position = batch.schema.get_field_index(field.name)
        array = pa.nulls(batch.num_rows, field.type) if position < 0 else batch.column(position)
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _readable(kind: pa.DataType) -> pa.DataType:
    """What the JSON reader can make of text; the rest comes as text and is cast."""
    told = pa.types.is_temporal(kind) or pa.types.is_decimal(kind)
    return pa.string() if told else kind
