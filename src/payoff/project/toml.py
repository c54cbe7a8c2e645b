"""TOML with places: the parsed table, and the line of every key in it."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from payoff.records.finding import Place

if TYPE_CHECKING:
    from payoff.project.files import Reading

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_PLAIN = re.compile(r"[^,\]}\n#]+")
_AT = re.compile(r"\s*\(at line (\d+), column \d+\)$|\s*\(at end of document\)$")


class Document:
    """A TOML file: `table` is its content (numbers with a point are Decimal), `place` says where a key stands."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.table: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)
        self._text = text
        self._lines: dict[Path, int] | None = None

    def line(self, path: Path) -> int:
        """The line of the key at a path, or of the nearest part of it that is written; 0 for the whole file."""
        if self._lines is None:
            self._lines = locate(self._text)
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 0

    def place(self, path: Path) -> Place:
        """The file and line of the key at a path."""
        return Place(self.file, self.line(path))


def read(reading: Reading, file: str) -> Document | None:
    """The document in a file; nothing when the file is absent or is not TOML (then that is a finding)."""
    text = reading.text(file)
    if text is None:
        return None
    try:
        return Document(file, text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _AT.search(message)
        line = int(at[1]) if at and at[1] else text.rstrip().count("\n") + 1
        what = _AT.sub("", message)
    except RecursionError:
        what, line = "Too deeply nested", 0
    reading.error(
        "PO-P005",
        f"{file} is not valid TOML: {what[:1].lower()}{what[1:]}",
        Place(file, line),
        expected="TOML 1.0: `key = value` lines below `[section]` lines, text in quotes",
        remedy=f"fix {file}:{line}, then: payoff check",
    )
    return None


def locate(text: str) -> dict[Path, int]:
    r"""The line of every key path in a valid TOML text: sections, dotted keys, inline tables, arrays (by index).

    >>> locate('[a]\\nb.c = 1\\nd = { e = [ { f = 2 } ] }')[("a", "d", "e", 0, "f")]
    3
    """
    return _Locator(text).lines


class _Locator:
    """Walks over a text that tomllib accepted; it need not refuse anything."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.lines: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}
        section: Path = ()
        while self._skip(_BLANK) < len(text):
            if text[self.at] == "[":
                section = self._header()
            else:
                self._pair(section)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return self.at

    def _note(self, path: Path, at: int) -> None:
        line = bisect_right(self.starts, at)
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], line)

    def _header(self) -> Path:
        start = self.at
        array = self.text.startswith("[[", start)
        self.at += 2 if array else 1
        key = self._key()
        self.at += 2 if array else 1
        path = self._resolved(key[:-1]) + key[-1:]
        if array:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            self._note(path, start)
        path = self._resolved(key)
        self._note(path, start)
        return path

    def _resolved(self, key: Path) -> Path:
        path: Path = ()
        for part in key:
            path = (*path, part)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        return path

    def _key(self) -> Path:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            start = self.at
            if self.text[start] == '"':
                self._skip(_BASIC)
                parts.append(tomllib.loads(f"k = {self.text[start : self.at]}")["k"])
            elif self.text[start] == "'":
                self.at = self.text.index("'", start + 1) + 1
                parts.append(self.text[start + 1 : self.at - 1])
            else:
                self._skip(_BARE)
                parts.append(self.text[start : self.at])
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def _pair(self, section: Path) -> None:
        start = self.at
        path = section + self._key()
        self._note(path, start)
        self.at += 1
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        text, start = self.text, self.at
        for quotes in ('"""', "'''"):
            if text.startswith(quotes, start):
                self._long_text(quotes)
                return
        if text[start] == '"':
            self._skip(_BASIC)
        elif text[start] == "'":
            self.at = text.index("'", start + 1) + 1
        elif text[start] == "[":
            self._array(path)
        elif text[start] == "{":
            self._inline(path)
        else:
            self._skip(_PLAIN)

    def _long_text(self, quotes: str) -> None:
        at = self.at + 3
        while not self.text.startswith(quotes, at):
            at += 2 if quotes == '"""' and self.text[at] == "\\" else 1
        at += 3
        while self.text.startswith(quotes[0], at):
            at += 1
        self.at = at

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.text[self._skip(_BLANK)] != "]":
            self._note((*path, index), self.at)
            self._value((*path, index))
            index += 1
            if self.text[self._skip(_BLANK)] == ",":
                self.at += 1
        self.at += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self.text[self._skip(_BLANK)] != "}":
            self._pair(path)
            if self.text[self._skip(_BLANK)] == ",":
                self.at += 1
        self.at += 1
