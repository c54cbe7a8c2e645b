"""Standard output and standard error: the only place that writes to them. Imports next to nothing.

Texts arrive as plain Unicode. Here they lose control characters (a table's or a traceback's text must not steer the
terminal), gain colour where a person looks at a terminal that wants it, and fall back to ASCII where the encoding has
no signs.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_ASCII = str.maketrans({"…": "..", "≥": ">=", "≤": "<="} | dict(zip("✓✗█│─├┤·−–—“”×", '+x#|-||----""x', strict=True)))
_CONTROLS, _STEERING = (*range(9), *range(11, 32), *range(127, 160)), (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_HIDDEN = dict.fromkeys((*_CONTROLS, *_STEERING))


def out(text: str) -> None:
    """Write a text and a line end to standard output."""
    _write(sys.stdout, text)


def err(text: str) -> None:
    """Write a text and a line end to standard error."""
    _write(sys.stderr, text)


def prompt(text: str) -> None:
    """Write the beginning of a line that somebody will end."""
    if sys.stderr is not None:
        sys.stderr.write(text.translate(_HIDDEN))
        sys.stderr.flush()


def result(text: str) -> None:
    """Write a result whose first line is what matters to standard output."""
    text = text.translate(_HIDDEN)
    if colourful(sys.stdout):
        head, end, rest = text.partition("\n")
        rest = rest.replace("✓", "\x1b[32m✓\x1b[0m").replace("✗", "\x1b[31m✗\x1b[0m")
        _raw(sys.stdout, f"\x1b[1m{head}\x1b[0m{end}{rest}")
    else:
        _raw(sys.stdout, text)


def document(text: str) -> None:
    """Write one JSON document to standard output, in UTF-8 whatever the terminal's encoding."""
    _bytes(sys.stdout, text.rstrip("\n") + "\n")


def colourful(stream: TextIO) -> bool:
    """True when a person looks at it on a terminal that wants colour (https://no-color.org)."""
    return interactive(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def interactive(stream: TextIO) -> bool:
    """True for a terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def close() -> None:
    """Flush; a reader that went away (`payoff runs | head -1`) is nobody's fault."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, AttributeError, ValueError):
            _silence(stream)


def _write(stream: TextIO, text: str) -> None:
    _raw(stream, text.translate(_HIDDEN))


def _raw(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    text = text.rstrip("\n") + "\n"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)


def _bytes(stream: TextIO, text: str) -> None:
    try:
        stream.flush()
        stream.buffer.write(text.encode())
        stream.flush()
    except BrokenPipeError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Nobody reads any more: what is still buffered goes nowhere, and Python's own last flush does not complain."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return
