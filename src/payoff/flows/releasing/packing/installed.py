"""What is installed -> the files of a virtual environment inside an image, each as its package's own list says."""

from __future__ import annotations

import csv
import os
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from payoff.base.errors import OutsideError, UserError
from payoff.base.hashing import as_record, of_json
from payoff.project.locking.requirements import normalised
from payoff.records.release.image import Member
from payoff.release.documents import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ENVIRONMENT, OURS = "opt/environment", "opt/payoff"
_PACKAGE = Path(__file__).parents[3]  # payoff's own folder
_NOT_SERVED = {"templates", "testing", "schemas", "__pycache__"}  # of Payoff itself, for those who write projects
# What says how a package was installed here, and not what it is.
_LOCAL = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json", "RECORD"}
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")
_OLDER = re.compile(r"""python_version\s*<\s*['"]3\.(\d+)['"]""")
_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")
SERVED = "released"  # the extra that lists what a server in an image needs


class Interpreter(NamedTuple):
    """Python in the base image: its path, and its version as 3.11."""

    path: str
    version: str


class Installed(NamedTuple):
    """The files of some distributions, what these are, and the digest of all that the files hold."""

    members: list[Member]
    distributions: list[Distribution]
    content: str


def locked(site: Path, names: Iterable[str]) -> list[Path]:
    """Where the metadata lies of the locked packages that are installed in a sandbox's `site-packages`; others are left out."""
    known = set(names)
    return [each for each in infos(site) if _name(each) in known]


def environment(listed: Iterable[Path], python: Interpreter) -> Installed:
    """The files of some packages of a sandbox. Raises `OutsideError` when one was changed since it was installed."""
    found = _Files(ENVIRONMENT, python)
    for each in listed:
        found.add(each)
    return found.all()


def ours(python: Interpreter) -> Installed:
    """Payoff's own files, and those of the packages that its server needs."""
    listed = served()
    found = _Files(OURS, python)
    for info in listed:
        found.add(info, trimmed=True)
    own = next(each for each in listed if _name(each) == "payoff")
    digests = {path: digest for path, digest, _ in _record(own)}  # none of a Payoff that is worked on
    for each in own_files():
        path = f"payoff/{each.relative_to(_PACKAGE).as_posix()}"
        found.file(each, f"{found.site}/{path}", digests.get(path, ""), "payoff")
    return found.all()


def infos(site: Path) -> list[Path]:
    """The folders of metadata of what is installed."""
    return sorted(each.parent for each in site.glob("*.dist-info/RECORD"))


def watched(listed: Iterable[Path]) -> list[str]:
    """The files that distributions list, by which it is seen whether something changed."""
    found = []
    for info in listed:
        site = os.fspath(info.parent)
        found += [f"{site}/{row[0]}" for row in _record(info) if not row[0].endswith(".pyc")]
    return found


def own_files() -> list[Path]:
    """Payoff's own modules that a server may need."""
    found = sorted(_PACKAGE.rglob("*.py"))
    return [each for each in found if not _NOT_SERVED & set(each.relative_to(_PACKAGE).parts)]


def served() -> list[Path]:
    """Where the metadata lies of Payoff and of all that its server needs: what the extra asks for, and what that asks for."""
    # What comes first on the path is what is imported.
    known = {_name(each): each for folder in reversed(sys.path) if folder for each in infos(Path(folder))}
    found: dict[str, Path] = {}
    wanted = ["payoff"]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        if name not in known:
            raise UserError(
                f"the package {name} is not installed, and the server in an image needs it",
                code="PO-A075",
                expected="payoff with its extra serve",
                remedy="uv pip install 'payoff[serve]', then payoff release again",
            )
        found[name] = known[name]
        extra = SERVED if name == "payoff" else ""
        # What a package asks for on other machines is not installed here.
        wanted += [each for each in _needed(known[name], extra) if each in known or extra]
    return [found[name] for name in sorted(found)]


def _needed(info: Path, extra: str) -> Iterator[str]:
    for line in _head(info):
        field, _, value = line.partition(": ")
        name = _NAME.match(value)
        if field != "Requires-Dist" or name is None:
            continue
        marker = value.partition(";")[2]
        asked, older = _EXTRA.search(marker), _OLDER.search(marker)
        if (asked[1] if asked else "") == extra and not (older and sys.version_info[1] >= int(older[1])):
            yield normalised(name[1])


class _Files:
    """The files of a virtual environment in an image, collected and compared with what their packages say."""

    def __init__(self, prefix: str, python: Interpreter) -> None:
        self._prefix = prefix
        self.site = f"{prefix}/lib/python{python.version}/site-packages"
        self._members = [
            Member(path=f"{prefix}/pyvenv.cfg", data=_config(python)),
            Member(path=f"{prefix}/bin/python", kind="link", target=python.path),
        ]
        self._distributions: list[Distribution] = []
        self._content: list[tuple[str, str, int, bool]] = []

    def add(self, info: Path, *, trimmed: bool = False) -> None:
        """The files of a distribution; `trimmed`: without what no server reads, tests and headers."""
        said = _metadata(info)
        licence = (said.get("license-expression") or said.get("license", ""))[:100].strip()
        name = normalised(said.get("name", ""))
        self._distributions.append(Distribution(name=name, version=said.get("version", ""), licence=licence))
        kept: list[str] = []
        for path, digest, _ in _record(info):
            target = posixpath.normpath(f"{self.site}/{path}")
            if target.startswith(f"{self._prefix}/") and not _left_out(path, info.name, trimmed=trimmed):
                kept.append(f"{path},{digest},{self.file(info.parent / path, target, digest, name)}\n")
        self._members.append(Member(path=f"{self.site}/{info.name}/RECORD", data="".join(kept).encode()))

    def file(self, file: Path, path: str, digest: str, name: str) -> int:
        """One file of the package `name`; answers its size."""
        try:
            state = file.stat()
            algorithm, _, wanted = digest.partition("=")
            found = as_record(file, algorithm or "sha256")
            same = not digest or found == wanted
        except FileNotFoundError:
            same = False
        if not same:
            raise OutsideError(
                f"{file.name} of the package {name} was changed since it was installed",
                code="PO-A071",
                expected="what is installed as its lock says",
                remedy=f"rm -r {_place(file)}, then payoff run: it is installed again",
            )
        executable = bool(state.st_mode & 0o100)
        self._members.append(Member(path=path, source=os.fspath(file), size=state.st_size, executable=executable))
        self._content.append((path, found, state.st_size, executable))
        return state.st_size

    def all(self) -> Installed:
        """All of it."""
        return Installed(self._members, self._distributions, of_json(sorted(self._content)))


def _record(info: Path) -> list[list[str]]:
    with open(info / "RECORD", encoding="utf-8", newline="") as stream:
        return sorted(csv.reader(stream))


def _left_out(path: str, info: str, *, trimmed: bool) -> bool:
    parts = path.split("/")
    if path.endswith((".pyc", ".pth")) and info.startswith("payoff-"):
        return True  # of a Payoff that is worked on: where it lies on this machine
    # Programs name the interpreter of this machine.
    outside = parts[0] == ".." and "bin" in parts
    local = parts[0] == info and parts[-1] in _LOCAL
    own = parts[0] == "payoff" and info.startswith("payoff-")
    dead = trimmed and bool({"tests", "include", "test"} & set(parts)) and parts[-1] != "__init__.py"
    return path.startswith("/") or path.endswith(".pyc") or outside or local or own or dead


def _config(python: Interpreter) -> bytes:
    home = posixpath.dirname(python.path)
    return f"home = {home}\ninclude-system-site-packages = false\nversion = {python.version}\n".encode()


def _place(file: Path) -> Path:
    """The environment that a file is in."""
    site = next((each for each in file.parents if each.name == "site-packages"), file.parent)
    return site.parents[2] if len(site.parents) > 2 else site


def _name(info: Path) -> str:
    return normalised(info.name.partition("-")[0])


def _head(info: Path) -> Iterator[str]:
    for line in (info / "METADATA").read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            return
        yield line


def _metadata(info: Path) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in _head(info):
        name, separator, value = line.partition(": ")
        if separator and not line[0].isspace():
            said.setdefault(name.lower(), value)
    return said
