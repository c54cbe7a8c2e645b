"""Runs a command that can write to one folder only; started as a program of its own, with the standard library.

User namespaces of Linux do it without any rights: everything is mounted read-only, some folders are covered by empty ones, and the command has no capability to
undo it. The first argument names a file with one JSON document: `argv`, `environ`, `home`, `shown`, `hidden`, `network`,
`enclose`, `remove` (what goes when whoever asked for it is killed).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _RDONLY = 442, -100, 0x8000, 1
_PDEATHSIG, _NO_NEW_PRIVS, _CAPBSET_DROP, _SECUREBITS, _NOROOT = 1, 38, 24, 28, 3
_CAPABILITIES = 64
_AWAITED = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def main(order: dict[str, Any]) -> int:
    """Run the command; answers its exit code. When whoever asked for it dies, so does the command, and what it had goes."""
    for number in (signal.SIGINT, signal.SIGQUIT):  # the command's business
        signal.signal(number, signal.SIG_IGN)
    for number in _AWAITED:
        signal.signal(number, signal.SIG_DFL)
    # Waited for, not handled: a handler of Python's runs between two of its own steps, so that a signal that comes just before waitpid would be heard after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    begun = os.fork()
    if begun == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        _die_with_parent()
        os._exit(_enclosed(order) if order["enclose"] else _wait(_start(order, apart=False)))
    _libc.prctl(_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    code, told = None, False
    while not told and code is None and os.getppid() == order["parent"]:  # it may have died before it could be told
        told = signal.sigwait(_AWAITED) != signal.SIGCHLD
        code = _ended(begun)
    if code is None:
        os.kill(begun, signal.SIGKILL)  # and its own with it, the first of which ends all others
        os.waitpid(begun, 0)
    elif not told and os.getppid() == order["parent"]:
        return code
    for path in order["remove"]:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path):
            os.unlink(path)
    return 128 + signal.SIGTERM


def _ended(pid: int) -> int | None:
    """The exit code of a process that has ended, a signal's as shells tell it; whatever else ended is collected."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if not ended:
                return None
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
    return None


def _enclosed(order: dict[str, Any]) -> int:
    if not enclose(network=order["network"]):
        return 126
    first = os.fork()
    if first == 0:  # the first process of its own numbering: when it ends, all that is left of the command does
        _die_with_parent()
        try:
            restrict(order)
        except OSError as error:
            sys.stderr.write(
                f"the command was not begun: {error.filename} cannot be made read-only: {error.strerror}\n"
            )
            os._exit(126)
        os._exit(_wait(_start(order, apart=True)))
    return _wait(first)


def _die_with_parent() -> None:
    _libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enclose(*, network: bool) -> bool:
    """Namespaces of its own; False where this machine does not allow them."""
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWIPC | (0 if network else _NEWNET)) != 0:
        return False
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    if not network:
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            fcntl.ioctl(door, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", _IFF_UP, b""))  # its own loopback
    return True


def restrict(order: dict[str, Any]) -> None:
    """Everything read-only but the command's home; some folders are not there."""
    _mount(None, "/", None, _REC | _PRIVATE)
    shown = {path: os.open(path, os.O_PATH) for path in (*order["shown"], order["home"]) if os.path.exists(path)}
    for path in sorted({*order["hidden"], *shown}, key=lambda each: each.count("/")):
        if path in shown:
            os.makedirs(path, exist_ok=True)
            _mount(f"/proc/self/fd/{shown[path]}", path, None, _BIND | _REC)
        elif os.path.isdir(path):
            _mount("tmpfs", path, "tmpfs", 0, b"mode=755")
        elif os.path.exists(path):
            _mount("/dev/null", path, None, _BIND)
    for door in shown.values():
        os.close(door)
    with contextlib.suppress(OSError):  # where parts of it are covered already, no fresh one may be had
        _mount("proc", "/proc", "proc", 0)
    _writable("/", writable=False)
    with contextlib.suppress(OSError):
        _mount("tmpfs", os.path.join("/dev", "shm"), "tmpfs", 0)  # memory that processes share
    _writable(order["home"], writable=True)


def _start(order: dict[str, Any], *, apart: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        if not apart:
            _die_with_parent()
        _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        if apart:
            _libc.prctl(_SECUREBITS, _NOROOT, 0, 0, 0)  # root's command is no more than root's command
            for capability in range(_CAPABILITIES):
                _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
        os.chdir(order["home"])
        os.execve(order["argv"][0], order["argv"], order["environ"])
    except OSError as error:
        sys.stderr.write(f"{order['argv'][0]}: {error.strerror}\n")
    os._exit(126)


def _wait(pid: int) -> int:
    """Wait for a process, and for whatever else ends meanwhile."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: bytes | None = None) -> None:
    said = [None if each is None else os.fsencode(each) for each in (source, target, kind)]
    if _libc.mount(*said, ctypes.c_ulong(flags), data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _writable(path: str, *, writable: bool) -> None:
    attributes = _Attributes(0 if writable else _RDONLY, _RDONLY if writable else 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    done = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), os.fsencode(path), ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes), size,
    )  # fmt: skip
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


if __name__ == "__main__":
    raise SystemExit(main(json.loads(Path(sys.argv[1]).read_bytes())))
