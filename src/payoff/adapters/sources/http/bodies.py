"""A page's body as Arrow batches with the types that the page itself shows."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from payoff.adapters.sources.http.paging import ABSENT, at
from payoff.adapters.sources.http.spool import clash
from payoff.base import lazy
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    from payoff.adapters.sources.http.options import Options, Told
else:
    pa, pacsv, pq = lazy.Module("pyarrow"), lazy.Module("pyarrow.csv"), lazy.Module("pyarrow.parquet")

_ROWS = 1 << 14
_BLOCK, _KEYS = 4 << 20, 8
_EXACT = 1 << 53  # up to here a double is exact for whole numbers
_WORDS = {
    bool: "bool",
    int: "int64",
    float: "float64",
    str: "string",
    dict: "objects or lists",
    list: "objects or lists",
}


class Number(float):
    """A number of a JSON body that still knows how it was written: for decimals."""

    text = ""


def _number(text: str) -> Number:
    made = Number(text)
    made.text = text
    return made


class Bodies:
    """Reads the pages of one source."""

    def __init__(self, told: Told, options: Options, declared: Mapping[str, pa.DataType]) -> None:
        self._told = told
        self._options = options
        self._declared = declared
        exact = any(pa.types.is_decimal(kind) or pa.types.is_string(kind) for kind in declared.values())
        self._json = msgspec.json.Decoder(float_hook=_number if exact else None)

    def document(self, body: BinaryIO, page: int) -> Any:
        """A JSON body whole."""
        try:
            return self._json.decode(body.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._told.outside(f"page {page:,} is no valid JSON", "PO-S226", "a whole JSON document") from None

    def batches(self, kind: str, body: BinaryIO, document: Any, page: int) -> Iterator[pa.RecordBatch]:
        """The rows of a page."""
        if kind == "json":
            rows = self._records(document, page)
            for start in range(0, len(rows), _ROWS):
                yield self._batch(rows[start : start + _ROWS], page)
        elif kind == "jsonl":
            yield from self._lines(body, page)
        elif kind == "csv":
            yield from self._csv(body, page)
        else:
            yield from self._parquet(body, page)

    # -- JSON

    def _records(self, document: Any, page: int) -> list[Any]:
        """The list of rows in a JSON document. One that is not there is an error, never an empty page."""
        found = at(document, self._options.records)
        if found is None:
            return []
        if isinstance(found, list):
            return found
        what = (
            f"page {page:,} has nothing at {self._options.records}"
            if found is ABSENT
            else f"page {page:,} has no list of rows"
        )
        named = isinstance(document, dict) and len(document) <= _KEYS  # of more, keys may be values: ids of customers
        lists = [key for key, value in document.items() if isinstance(value, list)] if named else []
        raise self._told.wrong(
            what,
            "PO-S231",
            f"a path to a list of objects, {did_you_mean(self._options.records, lists)}",
            f'write records = "{lists[0] if lists else "data.items"}" into [sources.{self._told.name}] of payoff.toml, or look at what the server answers',
        )

    def _lines(self, body: BinaryIO, page: int) -> Iterator[pa.RecordBatch]:
        """JSON lines, a bounded number at a time; the last needs no line end."""
        number = 0
        while lines := body.readlines(_BLOCK):
            try:
                rows = [self._json.decode(line) for line in lines if line.strip()]
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise self._told.outside(
                    f"page {page:,} has a line that is no valid JSON (after line {number:,})",
                    "PO-S226",
                    "one JSON object a line",
                ) from None
            number += len(lines)
            yield self._batch(rows, page)

    def _batch(self, rows: list[Any], page: int) -> pa.RecordBatch:
        if rows and {*map(type, rows)} != {dict}:
            raise self._told.wrong(
                f"page {page:,} has a row that is no object", "PO-S231", "objects with a key for each column"
            )
        names = dict.fromkeys(itertools.chain.from_iterable(rows))
        arrays = [self._array(name, [row.get(name) for row in rows], page) for name in names]
        if not names:
            return pa.RecordBatch.from_pylist(rows, pa.schema([]))
        return pa.RecordBatch.from_arrays(arrays, names=[*names])

    def _array(self, name: str, values: list[Any], page: int) -> pa.Array:
        """Values of one column: their own type; nested ones as JSON text, marked by a large string."""
        kinds = {*map(type, values)} - {type(None)}
        if Number in kinds:
            kinds = kinds - {Number} | {float}
        declared = self._declared.get(name)
        if declared is not None:
            loose = pa.types.is_string(declared) or pa.types.is_decimal(declared)
            if (loose and kinds != {str}) or len(kinds) > 1 or kinds & {dict, list} or not _fits(values, kinds):
                return pa.array([_text(value) for value in values], pa.string())
        if kinds <= {dict, list} and kinds:
            return pa.array([_text(value) for value in values], pa.large_string())
        if kinds == {int, float} and all(abs(value) <= _EXACT for value in values if type(value) is int):
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        if len(kinds) > 1:
            raise clash(self._told, name, [*{_WORDS[kind] for kind in kinds}], page)
        if not _fits(values, kinds):
            raise clash(self._told, name, ["int64", "larger whole numbers"], page)
        types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
        return pa.array(values, types[kinds.pop()]) if kinds else pa.nulls(len(values))

    # -- CSV and Parquet

    def _csv(self, body: BinaryIO, page: int) -> Iterator[pa.RecordBatch]:
        """All columns as text: what they are is found over the whole answer."""
        header = self._header(body, page)
        if not header:
            return
        body.seek(0)
        try:
            with pacsv.open_csv(
                body,
                read_options=pacsv.ReadOptions(encoding=self._options.encoding, block_size=_BLOCK),
                parse_options=pacsv.ParseOptions(delimiter=self._options.delimiter, newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.string()),
                    null_values=self._options.nulls,
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            ) as reader:
                yield _nothing(reader.schema)
                yield from reader
        except (pa.ArrowException, UnicodeDecodeError):
            raise self._broken(page, "rows with as many fields as the header, in this encoding") from None

    def _header(self, body: BinaryIO, page: int) -> list[str]:
        text = io.TextIOWrapper(body, encoding=self._options.encoding, errors="replace", newline="")
        try:
            names = next(csv.reader(text, delimiter=self._options.delimiter), [])
        except csv.Error:
            raise self._broken(page, "a header") from None
        finally:
            text.detach()
        names = [name.removeprefix("\ufeff") if not n else name for n, name in enumerate(names)]
        twice = [name for name, number in Counter(names).items() if number > 1]
        if twice:
            raise self._told.wrong(
                f"two columns have the name {twice[0]}", "PO-S231", "a name of its own for each column"
            )
        return names

    def _parquet(self, body: BinaryIO, page: int) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(body) as parquet:
                yield _nothing(parquet.schema_arrow)
                yield from parquet.iter_batches(_ROWS * 4)
        except (pa.ArrowException, OSError):
            raise self._broken(page, "a whole Parquet file") from None

    def _broken(self, page: int, expected: str) -> Exception:
        return self._told.outside(f"page {page:,} is broken", "PO-S226", expected)


def _nothing(schema: pa.Schema) -> pa.RecordBatch:
    """No rows: an empty page has columns all the same."""
    return pa.RecordBatch.from_pylist([], schema)


def _fits(values: list[Any], kinds: set[Any]) -> bool:
    """Whether whole numbers fit into 64 bits."""
    if kinds != {int}:
        return True
    numbers = [value for value in values if value is not None]
    return bool(min(numbers) >= -(1 << 63) and max(numbers) < 1 << 63)


def _text(value: Any) -> str | None:
    """A value as text: of a number how it was written, of what is nested its JSON."""
    if value is None or type(value) is str:
        return value
    if type(value) is Number:
        return value.text
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value).lower() if type(value) is bool else str(value)
