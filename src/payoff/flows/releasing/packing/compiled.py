"""Modules compiled for an image: once for each environment, kept under .payoff."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError
from payoff.base.files import place_folder
from payoff.records.release.image import Member

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORKER = Path(__file__).parents[3] / "worker" / "compiling.py"
# What no server imports: a package's own tests.
_LEFT_OUT = {"test", "tests", "__pycache__"}
# Fixed, and not the number of processors: what a process compiled before must not differ from machine to machine.
_PARTS = 4


def compiled(members: Sequence[Member], python: Path, version: str, folder: Path) -> list[Member]:
    """The compiled modules of an environment, as members of the layer that has their sources; made in `folder` where it is not there yet."""
    tag = f".cpython-{version.replace('.', '')}.pyc"
    targets: dict[str, str] = {}
    for each in members:
        place, name = os.path.split(each.path)
        if name.endswith(".py") and each.source and not _LEFT_OUT & set(place.split("/")):
            targets[each.path] = f"{place}/__pycache__/{name[:-3]}{tag}"
    if not folder.is_dir():
        part = folder.with_name(f".{folder.name}.{os.getpid()}.{os.urandom(4).hex()}")
        part.mkdir(parents=True)
        try:
            listed = [
                (each.source, f"/{each.path}", os.fspath(part / targets[each.path]))
                for each in sorted(members, key=lambda one: one.path)
                if each.path in targets
            ]
            _compile(listed, python)
            place_folder(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    made = []
    for path in targets.values():
        file = folder / path
        if file.is_file():
            made.append(Member(path=path, source=os.fspath(file), size=file.stat().st_size))
    return made


def _compile(listed: list[tuple[str, str, str]], python: Path) -> None:
    environ = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    running = []
    for number in range(_PARTS):
        process = subprocess.Popen(
            [os.fspath(python), "-s", "-S", "-B", os.fspath(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environ,
        )
        assert process.stdin is not None  # noqa: S101 - asked for
        process.stdin.write(json.dumps(listed[number::_PARTS]).encode())
        process.stdin.close()
        process.stdin = None
        running.append(process)
    for process in running:
        _, said = process.communicate()
        if process.returncode:
            last = os.fsdecode(said).strip().rpartition("\n")[2]
            raise OutsideError(
                f"the environment's modules could not be compiled: {last[:200] or 'the interpreter gave no reason'}",
                code="PO-A076",
                expected="room under .payoff, and memory for four interpreters",
                remedy="df -h .payoff, then payoff release again",
            )
