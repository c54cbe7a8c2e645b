"""What goes into an image: the installed environment, the worker, the project's code, the model. Nothing that the lock or the commit does not name."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import OutsideError, Refused
from payoff.base.hashing import as_record
from payoff.records.release.image import Member
from payoff.release.documents import Distribution
from payoff.release.image import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payoff.records.project import Environment

ENVIRONMENT, OURS, CODE, MODEL = "opt/environment", "opt/payoff", "srv", "opt/model"
SAID = f"{MODEL}/released.json"
PORT = 8080
_PIECE = 1 << 20
_PAYOFF = Path(__file__).parents[2]
# What says how a package was installed here, and not what it is.
_LOCAL = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "RECORD"}
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def content(member: Member) -> Iterator[bytes]:
    """A file's bytes in pieces."""
    with open(member.source, "rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece


def environment(sandbox: Path, locked: Environment) -> tuple[list[Member], list[Distribution]]:
    """The files of every locked package that is installed, each as its package's own list says; others are left out.

    Raises `OutsideError` when a file was changed since it was installed.
    """
    (site,) = sandbox.glob("lib/python3*/site-packages")
    members: list[Member] = []
    found: list[Distribution] = []
    for record in sorted(site.glob("*.dist-info/RECORD")):
        said = _metadata(record.with_name("METADATA"))
        name = re.sub(r"[-_.]+", "-", said.get("name", "")).lower()
        if name not in locked.packages:
            continue
        licence = said.get("license-expression") or said.get("license", "")
        found.append(Distribution(name=name, version=said["version"], licence=licence[:100].strip()))
        kept: list[str] = []
        with open(record, encoding="utf-8", newline="") as stream:
            for path, digest, _size in sorted(csv.reader(stream)):
                info = path.startswith(f"{record.parent.name}/")
                if path.startswith(("..", "/")) or path.endswith(".pyc") or (info and Path(path).name in _LOCAL):
                    continue
                members.append(_checked(site / path, f"{ENVIRONMENT}/{path}", digest, name))
                kept.append(f"{path},{digest},{members[-1].size}\n")
        path = f"{ENVIRONMENT}/{record.parent.name}/RECORD"
        members.append(Member(path=path, data="".join(kept).encode()))
    return members, found


def _checked(file: Path, path: str, digest: str, name: str) -> Member:
    member = _file(file, path)
    if digest:
        algorithm, _, wanted = digest.partition("=")
        if as_record(file, algorithm) != wanted:
            raise OutsideError(
                f"{file.name} of the package {name} was changed since it was installed",
                code="PO-A071",
                expected="the environment as its lock says",
                remedy=f"rm -r {file.parents[len(Path(path).parts) - 3]}, then payoff run: it is installed again",
            )
    return member


def _file(file: Path, path: str) -> Member:
    state = file.stat()
    return Member(path=path, source=os.fspath(file), size=state.st_size, executable=bool(state.st_mode & 0o100))


def _metadata(file: Path) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            break
        name, separator, value = line.partition(": ")
        if separator and not line[0].isspace():
            said.setdefault(name.lower(), value)
    return said


def ours() -> list[Member]:
    """The worker that opens the model, and the one module that the project's code may import of us."""
    files = [_PAYOFF / "__init__.py", *sorted((_PAYOFF / "worker").glob("*.py"))]
    return [Member(path=f"{OURS}/{each.relative_to(_PAYOFF)}", data=each.read_bytes()) for each in files]


def code(folder: Path) -> list[Member]:
    """The project's files as they were committed, without hidden ones and deploy/. Refused when one holds a private key."""
    members = []
    for place, folders, files in os.walk(folder):
        top = place == os.fspath(folder)
        folders[:] = [n for n in folders if n[0] != "." and n != "__pycache__" and not (top and n == "deploy")]
        for name in files:
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if name[0] == "." or path.is_symlink():
                continue
            if path.stat().st_size < 1 << 16 and _KEY.search(path.read_bytes()):
                raise Refused(
                    f"{relative} holds a private key, and would be in the image",
                    code="PO-A072",
                    expected="no secret in git",
                    remedy=f"git rm {relative}, use another key from now on, commit, payoff run, and release that run",
                )
            members.append(_file(path, f"{CODE}/{relative}"))
    return members


def model(file: Path, said: Mapping[str, Any]) -> list[Member]:
    """The model's bytes, and what its worker is told."""
    return [_plain(file, f"{MODEL}/model.pickle"), Member(path=SAID, data=canonical(dict(said)))]


def _plain(file: Path, path: str) -> Member:
    return Member(path=path, source=os.fspath(file), size=file.stat().st_size)
