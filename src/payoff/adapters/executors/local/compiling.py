"""Modules of an environment, compiled by its own interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORKER = Path(__file__).parents[3] / "worker" / "compiling.py"
# Fixed, and not the number of processors: what a process compiled before must not differ from machine to machine.
_PARTS = 4


def compile_modules(listed: Sequence[tuple[str, str, str]], python: Path) -> None:
    """Compile (source, path that it will have, file to write) each; what does not compile is left out."""
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
        with contextlib.suppress(BrokenPipeError), process.stdin:  # one that has ended says below why
            process.stdin.write(json.dumps(listed[number::_PARTS]).encode())
        process.stdin = None
        running.append(process)
    for process, (_, said) in [(each, each.communicate()) for each in running]:  # all have ended before one is told of
        if process.returncode:
            last = os.fsdecode(said).strip().rpartition("\n")[2]
            raise OutsideError(
                f"the environment's modules could not be compiled: {last[:200] or 'the interpreter gave no reason'}",
                code="PO-A076",
                expected="room under .payoff, and memory for four interpreters",
                remedy="df -h .payoff, then payoff release again",
            )
