"""The project's code and the model, as they go into an image. Nothing that the commit does not name, no data, nothing hidden."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base.errors import Refused
from payoff.records.release.image import Member

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payoff.records.project import Project

CODE, MODEL = "srv", "opt/model"
_PIECE = 1 << 20
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_LONGEST = 1 << 16  # bytes of a file that may be a key


def content(member: Member) -> Iterator[bytes]:
    """A file's bytes in pieces."""
    with open(member.source, "rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece


def code(folder: Path, project: Project) -> list[Member]:
    """The project's files as they were committed: without hidden ones, caches, deploy/, and the data that its sources read.

    Refused when one holds a private key.
    """
    data = _data(folder, project)
    members = []
    for place, folders, names in os.walk(folder):
        top = place == os.fspath(folder)
        folders[:] = [
            name
            for name in folders
            if name[0] != "."
            and name != "__pycache__"
            and not (top and name == "deploy")
            and Path(place, name) not in data
        ]
        for name in names:
            path = Path(place, name)
            if name[0] == "." or name.endswith(".pyc") or path.is_symlink() or path in data:
                continue
            relative = path.relative_to(folder).as_posix()
            state = path.stat()
            if state.st_size < _LONGEST and _KEY.search(path.read_bytes()):
                raise Refused(
                    f"{relative} holds a private key, and would be in the image",
                    code="PO-A072",
                    expected="no secret in git",
                    remedy=f"git rm {relative}, use another key from now on, commit, payoff run, and release that run",
                )
            executable = bool(state.st_mode & 0o100)
            members.append(
                Member(path=f"{CODE}/{relative}", source=os.fspath(path), size=state.st_size, executable=executable)
            )
    return members


def _data(folder: Path, project: Project) -> set[Path]:
    """The files and folders that the project's sources name: rows, which labels keep where they are."""
    found: set[Path] = set()
    for source in project.sources:
        named = source.options.get("path")
        if isinstance(named, str) and not named.startswith("/") and "://" not in named and "${" not in named:
            found |= set(folder.glob(named))
    return found - {folder}


def model(file: Path, name: str, parts: Mapping[str, bytes]) -> list[Member]:
    """The model's bytes under a name, and what its server is told."""
    itself = Member(path=f"{MODEL}/{name}", source=os.fspath(file), size=file.stat().st_size)
    return [itself, *(Member(path=f"{MODEL}/{each}", data=data) for each, data in sorted(parts.items()))]
