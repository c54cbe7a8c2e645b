"""What a base image has that ours stand on: its interpreter, its kind of Linux, its packages. Read from its layers, nothing of it is run."""

from __future__ import annotations

import posixpath
import re
import tarfile
from typing import IO, TYPE_CHECKING, cast

import msgspec

from payoff.release.foundation import unfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STATUS = "var/lib/dpkg/status"  # Debian's list of what is installed; images without dpkg have a folder of such lists
_SYSTEM = ("etc/os-release", "usr/lib/os-release")
_NAMED = re.compile(r"(python[\d.]*|ld-(linux|musl)[\w.-]*)$")
_INTERPRETER = re.compile(r"python(\d+\.\d+)$")
_MOST, _LINKS = 64 << 20, 40
_GONE, _ALL_GONE = ".wh.", ".wh..wh..opq"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package of the system's own, as its list of them says."""

    name: str
    version: str
    architecture: str = ""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a base image has: the path of its interpreter with links followed, and its version (`3.11`); the kind of Linux (`debian`) and its
    release (`bookworm`); its libc (`linux`: glibc, `musl`, or empty); the packages that it lists.
    """

    python: str = ""
    version: str = ""
    system: str = ""
    release: str = ""
    libc: str = ""
    packages: tuple[Package, ...] = ()


class Tree:
    """The names of the files and links that matter, as all layers together have them."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.links: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def add(self, pieces: Iterable[bytes]) -> None:
        """One more layer: a tar archive, compressed in a way that Python reads."""
        found = iter(pieces)
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Stream(found)), mode="r|*") as archive:
                for entry in archive:
                    self._entry(archive, entry)
            for _ in found:  # whether a blob has its digest is known at its end, which may lie beyond the archive's
                pass
        except tarfile.TarError:
            raise unfit(
                "a layer of it is no tar archive, or is compressed by what Python does not read (zstd)"
            ) from None

    def _entry(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = posixpath.normpath(entry.name).lstrip("/")
        folder, name = posixpath.split(path)
        if name == _ALL_GONE:
            self._remove(folder, itself=False)
            return
        if name.startswith(_GONE):
            self._remove(posixpath.join(folder, name.removeprefix(_GONE)))
            return
        if not entry.isdir():
            self._forget(path)
        if entry.issym():
            self.links[path] = entry.linkname
        elif entry.isreg() or entry.islnk():
            if _NAMED.match(name):
                self.files.add(path)
            if (path in _SYSTEM or path == _STATUS or folder == f"{_STATUS}.d") and 0 < entry.size <= _MOST:
                content = archive.extractfile(entry)
                self.texts[path] = content.read().decode("utf-8", "replace") if content else ""

    def _forget(self, path: str) -> None:
        self.files.discard(path)
        self.links.pop(path, None)
        self.texts.pop(path, None)

    def _remove(self, path: str, *, itself: bool = True) -> None:
        """What a whiteout says is gone: a path and all below it."""
        below = f"{path}/" if path else ""
        for known in (self.files, self.links, self.texts):
            for each in [each for each in known if (itself and each == path) or each.startswith(below)]:
                self._forget(each)

    def resolved(self, path: str) -> str:
        """Where a path leads, its links followed; empty when nothing is there that matters."""
        at = path.lstrip("/")
        for _ in range(_LINKS):
            parts = at.split("/")
            for depth in range(1, len(parts) + 1):
                above = "/".join(parts[:depth])
                if above in self.links:
                    target = posixpath.join("/", posixpath.dirname(above), self.links[above])
                    at = posixpath.normpath(posixpath.join(target, *parts[depth:])).lstrip("/")
                    break
            else:
                return f"/{at}" if at in self.files else ""
        return ""


def contents(layers: Iterable[Iterable[bytes]], environment: Sequence[str], python: str) -> Contents:
    """Read layers, lowest first. `environment` is the image's, `python` the interpreter's name on its PATH, or its path."""
    tree = Tree()
    for each in layers:
        tree.add(each)
    path = dict(each.split("=", 1) for each in environment if "=" in each).get("PATH", _PATH)
    tried = [python] if python.startswith("/") else [f"{folder}/{python}" for folder in path.split(":")]
    found = next((place for place in map(tree.resolved, tried) if place), "")
    named = _INTERPRETER.search(found)
    system = _values(next((tree.texts[each] for each in _SYSTEM if each in tree.texts), ""))
    listed = [text for name, text in sorted(tree.texts.items()) if name.startswith(_STATUS)]
    kind = system.get("ID", "linux")
    return Contents(
        python=found,
        version=named[1] if named else "",
        system=kind,
        release=system.get("VERSION_CODENAME", system.get("VERSION_ID", "")),
        libc=next((libc for libc in ("linux", "musl") if any(f"/ld-{libc}" in f"/{each}" for each in tree.files)), ""),
        packages=tuple(_packages("\n\n".join(listed))),
    )


def _packages(status: str) -> Iterator[Package]:
    found: dict[str, Package] = {}
    for paragraph in re.split(r"\n\s*\n", status):
        said = _fields(paragraph)
        # The lists of images without dpkg say no status: what they list is there.
        if "Package" in said and "Version" in said and said.get("Status", "ok installed").endswith("ok installed"):
            each = Package(name=said["Package"], version=said["Version"], architecture=said.get("Architecture", ""))
            found[f"{each.name}:{each.architecture}"] = each
    for _, each in sorted(found.items()):
        yield each


def _fields(paragraph: str) -> dict[str, str]:
    lines = (line.partition(": ") for line in paragraph.splitlines() if line[:1] not in {" ", "\t", ""})
    return {name: value.strip() for name, separator, value in lines if separator}


def _values(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, separator, value in lines if separator}


class _Stream:
    """Pieces of bytes as a file that can be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def read(self, size: int) -> bytes:
        """At most so many bytes; fewer at the end only."""
        parts, wanted = [], size
        while wanted > 0:
            if not self._held:
                self._held = next(self._pieces, b"")
                if not self._held:
                    break
            parts.append(self._held[:wanted])
            self._held = self._held[wanted:]
            wanted -= len(parts[-1])
        return b"".join(parts)
