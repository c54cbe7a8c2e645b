"""What Arrow says of a broken file in our words: the column, the line, never a value."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    Records = Iterator[tuple[int, list[str]]]
else:
    pa = lazy.Module("pyarrow")

_CHUNK = 10_000


class Odd(Exception):
    """A file that can be read, but is not what anybody meant."""

    def __init__(self, what: str, expected: str) -> None:
        super().__init__(what)
        self.what, self.expected = what, expected


def refuse_odd(schema: pa.Schema, declared: Mapping[str, pa.DataType]) -> None:
    """Refuse a header with a name twice, and text that is not text (Arrow would take it for bytes)."""
    twice = [name for name, number in Counter(schema.names).items() if number > 1]
    if twice:
        raise Odd(f"two columns have the name {twice[0]}", "a name of its own for each column")
    for field in schema:
        if pa.types.is_binary(field.type) and field.name not in declared:
            raise Odd(
                f"column {field.name} has bytes that are no valid text in this encoding",
                'UTF-8, or encoding = "latin-1"',
            )


class Told:
    """Says what is wrong with a file, for the length of a `with`. `records` reads a CSV file again, to find the place."""

    def __init__(self, name: str, file: str, records: Callable[[], Records]) -> None:
        self.name, self.file, self.records = name, file, records

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno is not None:
            raise OutsideError(
                f"source {self.name}: {self.file} cannot be read: {error.strerror or type(error).__name__}",
                code="PO-S011",
                expected="a file that may be read",
                remedy=f"give the right to read {self.file}, or mend what the system says, then run again",
            ) from None
        if not isinstance(error, Odd | pa.ArrowException | UnicodeDecodeError | OSError):
            return
        what, expected = self._said(error)
        raise UserError(
            f"source {self.name}: {self.file}: {what}",
            code="PO-S010",
            expected=expected,
            remedy=f"mend {self.file}, or say in [sources.{self.name}] of payoff.toml how it is to be read",
        ) from None

    def _said(self, error: BaseException) -> tuple[str, str]:
        """What was found, and what was expected."""
        if isinstance(error, Odd):
            return error.what, error.expected
        text = str(error)
        fields = re.search(r"Expected (\d+) columns, got (\d+)", text)
        if fields:
            line = _uneven(self.records(), int(fields[1]))
            return f"{_at(line)}a row has {fields[2]} fields", f"{fields[1]} fields in every row"
        column = re.search(r"In CSV column #(\d+)", text)
        if column:
            wanted = re.search(r"CSV conversion error to ([^:]+):", text)
            return self._unconverted(int(column[1]), wanted[1] if wanted else "")
        if "UTF8" in text or isinstance(error, UnicodeDecodeError):
            return "a byte is not valid text in this encoding", 'UTF-8, or encoding = "latin-1"'
        if "Empty CSV" in text or "Empty JSON" in text:
            return "the file is empty", "a header and rows"
        if "JSON parse error" in text and (
            changed := re.search(r"Column\(/([^)]*)\) changed from (\w+) to (\w+)", text)
        ):
            return (
                f"column {changed[1]} changes from {changed[2]} to {changed[3]}",
                "one type in every row, or a declared one in types",
            )
        return f"the file is broken ({type(error).__name__})", "a whole file of its format"

    def _unconverted(self, number: int, kind: str) -> tuple[str, str]:
        """A value that is not of its column's type: where it is, by reading the file again."""
        records = self.records()
        _, header = next(records, (0, []))
        name = header[number] if number < len(header) else str(number)
        line = _stray(records, number, kind)
        said = kind or "of the type that the first rows have"
        return (
            f"{_at(line)}a value in column {name} is not {said}",
            f'{said}, or a declared type: types = {{ {name} = "string" }}',
        )


def _at(line: int | None) -> str:
    return f"line {line:,}: " if line else ""


def _uneven(records: Records, wanted: int) -> int | None:
    """The line of the first record with another number of fields."""
    return next((line for line, record in records if record and len(record) != wanted), None)


def _stray(records: Records, number: int, kind: str) -> int | None:
    """The line of the first value that cannot be cast."""
    try:
        wanted = pa.type_for_alias(kind)
    except ValueError:
        return None
    chunk: list[tuple[int, str]] = []
    for line, record in records:
        if number < len(record) and record[number]:
            chunk.append((line, record[number]))
        if len(chunk) >= _CHUNK:
            if (found := _first(chunk, wanted)) is not None:
                return found
            chunk = []
    return _first(chunk, wanted)


def _first(chunk: list[tuple[int, str]], wanted: pa.DataType) -> int | None:
    """The line of the first value of a chunk that cannot be cast, by halves."""
    try:
        pa.array([value for _, value in chunk], pa.string()).cast(wanted)
    except pa.ArrowException:
        half = len(chunk) // 2
        if not half:
            return chunk[0][0]
        return _first(chunk[:half], wanted) or _first(chunk[half:], wanted)
    return None
