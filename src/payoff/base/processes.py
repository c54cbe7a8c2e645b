"""What the kernel says of processes, and how they are ended. Where there is no /proc, it says little."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVERY = 0.02  # seconds between two looks
_KILLED = 5.0  # seconds until the kernel has ended what it was told to end at once
_PROC = Path("/proc")


def told() -> bool:
    """Whether the kernel shows what a process was started with."""
    return (_PROC / "self/environ").exists()


def numbers() -> list[int]:
    """All processes."""
    return [int(each) for each in os.listdir(_PROC) if each.isdecimal()] if told() else []


def since(pid: int) -> str | None:
    """When a process started, as the kernel counts: of another with the same number it is another. None when there is none, or only what is left of one."""
    if not told():
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return "unknown"
        return None
    said = _state(pid)
    return None if not said or said[0] in "ZX" else said[19]


def above(pid: int) -> Iterator[int]:
    """The process that started it, the one that started that, and so on."""
    while (said := _state(pid)) and (pid := int(said[1])) > 0:
        yield pid


def environment(pid: int) -> dict[str, str]:
    """The variables that it was started with; none of a process of somebody else."""
    parts = [os.fsdecode(each).partition("=") for each in _read(pid, "environ").split(b"\0")]
    return {key: value for key, _, value in parts if key}


def words(pid: int) -> list[str]:
    """Its command line."""
    return os.fsdecode(_read(pid, "cmdline")).split("\0")


def place(pid: int) -> str:
    """The folder that it is at work in; empty where that cannot be seen."""
    with contextlib.suppress(OSError):
        return os.readlink(_PROC / str(pid) / "cwd")
    return ""


def end(pid: int, began: str, seconds: float) -> None:
    """Ask a process to end, wait, and end it. Another one that has its number by now is left alone."""
    with contextlib.closing(_Handle(pid)) as handle:
        # Only what is asked after the handle was taken says whose handle it is.
        if since(pid) == began:
            handle.send(signal.SIGTERM, began)
            if not handle.ends(seconds, began):
                handle.send(signal.SIGKILL, began)
                handle.ends(_KILLED, began)
    reap(pid)


def reap(pid: int) -> None:
    """A child of ours that has ended is let go."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


class _Handle:
    """A process, and never another that gets its number (pidfd_open(2)); where the system has no such handles, its start is compared before each signal."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._file = -1
        with contextlib.suppress(OSError, AttributeError):
            self._file = os.pidfd_open(pid)

    def close(self) -> None:
        """Let it go."""
        if self._file >= 0:
            os.close(self._file)

    def send(self, number: signal.Signals, began: str) -> None:
        """A signal."""
        with contextlib.suppress(ProcessLookupError):
            if self._file >= 0:
                signal.pidfd_send_signal(self._file, number)
            elif since(self._pid) == began:
                os.kill(self._pid, number)

    def ends(self, seconds: float, began: str) -> bool:
        """Whether it ends within that time."""
        if self._file >= 0:
            poll = select.poll()
            poll.register(self._file, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        until = time.monotonic() + seconds
        while since(self._pid) == began:
            reap(self._pid)
            if time.monotonic() >= until:
                return False
            time.sleep(_EVERY)
        return True


def _state(pid: int) -> list[str]:
    """What `stat` says after the name, which may hold anything: state, parent, ..., start."""
    return os.fsdecode(_read(pid, "stat")).rpartition(")")[2].split()


def _read(pid: int, what: str) -> bytes:
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / what).read_bytes()
    return b""
