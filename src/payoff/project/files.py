"""One look at a project's files: what was read, what was looked for, what was found wrong, and what is known from before."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from payoff import __version__
from payoff.base import files, hashing
from payoff.records.finding import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CACHE = ".payoff/cache/project"
FORMAT = f"8 {__version__}"
LARGEST = 64 << 20
MOST_ENTRIES = 300

T = TypeVar("T")


class Reading:
    """Reads files below `root`, keeps their digests, and collects findings instead of raising.

    `files`, `absent` and `listings` together are everything the result depends on: when none of them changed, the result of an earlier
    reading holds. `cacheable` is false when something was read that they do not cover. `anew`: nothing that could decide is taken from what
    was found out before, so that files alone do.
    """

    def __init__(self, root: Path, *, anew: bool = False) -> None:
        self.root = root
        self.anew = anew
        self.files: dict[str, str] = {}
        self.absent: set[str] = set()
        self.listings: dict[str, tuple[str, ...]] = {}
        self.findings: list[Finding] = []
        self.cacheable = True
        self._texts: dict[str, str | None] = {}

    def apart(self) -> Reading:
        """The same look at the files, with findings of its own."""
        other = Reading(self.root, anew=self.anew)
        other.files, other.absent, other.listings, other._texts = self.files, self.absent, self.listings, self._texts
        return other

    def find(
        self,
        severity: Literal["error", "warning", "note"],
        code: str,
        what: str,
        where: Place | None = None,
        *,
        expected: str = "",
        remedy: str = "",
    ) -> None:
        """Keep a finding."""
        self.findings.append(
            Finding(code=code, severity=severity, what=what, where=where, expected=expected, try_=remedy)
        )

    def error(self, code: str, what: str, where: Place | None = None, *, expected: str = "", remedy: str = "") -> None:
        """Keep a finding that makes the project unusable."""
        self.find("error", code, what, where, expected=expected, remedy=remedy)

    def warn(self, code: str, what: str, where: Place | None = None, *, expected: str = "", remedy: str = "") -> None:
        """Keep a finding that somebody should look at."""
        self.find("warning", code, what, where, expected=expected, remedy=remedy)

    @property
    def failed(self) -> bool:
        """True when an error was found."""
        return any(finding.severity == "error" for finding in self.findings)

    def text(self, relative: str) -> str | None:
        """A file's text, or nothing when there is no such file or it cannot be read (then that is a finding)."""
        if relative not in self._texts:
            self._texts[relative] = self._read(relative)
        return self._texts[relative]

    def _read(self, relative: str) -> str | None:
        path = self.root / relative
        try:
            if path.stat().st_size > LARGEST:
                self._unreadable(relative, f"is larger than {LARGEST >> 20} MiB")
                return None
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            self.absent.add(relative)
            return None
        except OSError as error:
            self._unreadable(relative, f"cannot be read: {error.strerror or type(error).__name__}")
            return None
        self.files[relative] = hashing.of_bytes(data)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._unreadable(relative, "is not UTF-8 text", line)
            return None

    def _unreadable(self, relative: str, why: str, line: int = 0) -> None:
        self.error(
            "PO-P004",
            f"{relative} {why}",
            Place(relative, line),
            expected="a readable text file in UTF-8",
            remedy=f"fix {relative}, then: payoff check",
        )

    def digest(self, relative: str) -> str:
        """The digest of a file that was read."""
        return self.files[relative]

    def exists(self, relative: str) -> bool:
        """True when the file can be read."""
        return self.text(relative) is not None

    def names(self, folder: str, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the files in a folder that end in one of the suffixes, sorted."""
        key = f"{folder}|{'|'.join(suffixes)}"
        if key not in self.listings:
            self.listings[key] = listing(self.root, key)
        return self.listings[key]

    def remembered(self, kind: str, content: Any, shape: type[T], make: Callable[[], T], *, decides: bool = True) -> T:
        """What `make` gives for this content, from the cache when it was made before; `decides`: the project says something else when it is another.

        A cache that cannot be read, written or understood is as good as none.
        """
        if self.anew and decides:
            return make()
        path = self.root / CACHE / f"{kind}-{hashing.of_json([FORMAT, content])}.json"
        known = recall(path, shape)
        if known is None:
            known = make()
            keep(self.root, path, known)
        return known


def recall(path: Path, shape: type[T]) -> T | None:
    """A cache entry: a digest, a line end, JSON. Nothing when it is not there or not whole."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
        if digest.decode() != hashing.of_bytes(content):
            return None
        return msgspec.json.decode(content, type=shape)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def hide(root: Path) -> None:
    """Keep .payoff/ out of git by a .gitignore in it: nobody has to think of it."""
    ignore = root / ".payoff" / ".gitignore"
    if not ignore.exists():
        with contextlib.suppress(OSError):
            files.write_atomically(ignore, "*\n")


def keep(root: Path, path: Path, value: Any) -> None:
    """Write a cache entry; in a folder that takes none, go on without."""
    try:
        content = msgspec.json.encode(value)
        hide(root)
        files.write_atomically(path, hashing.of_bytes(content).encode() + b"\n" + content)
        entries = [entry for entry in os.scandir(path.parent) if entry.is_file()]
        if len(entries) > MOST_ENTRIES:
            entries.sort(key=lambda entry: entry.stat().st_mtime)
            for entry in entries[: MOST_ENTRIES // 2]:
                os.unlink(entry.path)
    except (OSError, msgspec.MsgspecError, ValueError, TypeError, OverflowError):
        return


def listing(root: Path, key: str) -> tuple[str, ...]:
    """The names in a folder, for a key `folder|suffix|suffix`."""
    folder, *suffixes = key.split("|")
    try:
        names = os.listdir(os.path.join(root, folder))
    except OSError:
        return ()
    return tuple(sorted(n for n in names if n.endswith(tuple(suffixes)) and not n.startswith(".")))
