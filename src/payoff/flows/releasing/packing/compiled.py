"""Modules compiled for an image: once for each environment, kept under .payoff."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from payoff.base.files import place_folder
from payoff.base.ids import new_request_id
from payoff.records.release.image import Member
from payoff.wiring.releasing import compile_modules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What no server imports: a package's own tests.
_LEFT_OUT = {"test", "tests", "__pycache__"}


def compiled(members: Sequence[Member], python: Path, version: str, folder: Path) -> list[Member]:
    """The compiled modules of an environment, as members of the layer that has their sources; made in `folder` where it is not there yet."""
    tag = f".cpython-{version.replace('.', '')}.pyc"
    targets: dict[str, str] = {}
    for each in members:
        place, name = os.path.split(each.path)
        if name.endswith(".py") and each.source and not _LEFT_OUT & set(place.split("/")):
            targets[each.path] = f"{place}/__pycache__/{name[:-3]}{tag}"
    if not folder.is_dir():
        part = folder.with_name(f".{folder.name}.{new_request_id()}")
        part.mkdir(parents=True)
        try:
            listed = [
                (each.source, f"/{each.path}", os.fspath(part / targets[each.path]))
                for each in sorted(members, key=lambda one: one.path)
                if each.path in targets
            ]
            compile_modules(listed, python)
            place_folder(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    made = []
    for path in targets.values():
        file = folder / path
        if file.is_file():
            made.append(Member(path=path, source=os.fspath(file), size=file.stat().st_size))
    return made
