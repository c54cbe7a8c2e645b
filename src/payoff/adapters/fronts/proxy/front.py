"""Starts the process, tells it where to send requests, reads what it saw."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing, processes
from payoff.base.errors import OutsideError, UserError
from payoff.base.files import write_atomically
from payoff.ports.releasing.front import Routes
from payoff.ports.releasing.machine import alone
from payoff.records.release.canary import Seen

if TYPE_CHECKING:
    from pathlib import Path

CAPABILITIES: dict[str, Any] = {"remote": False}
_PROGRAM = "payoff.adapters.fronts.proxy.server"
_WAIT = 20.0  # seconds to start, or to take over new routes
_DRAIN = 35.0


@dataclasses.dataclass(frozen=True)
class Options:
    """`port`: where clients ask (0: any free one). `host`: an address of this machine only; what encrypts stands before it."""

    port: int = 0
    host: str = "127.0.0.1"
    folder: str = ".payoff/deployments"


def connect(root: Path, options: Options) -> Proxy:
    """Fronts of this machine; nothing is started."""
    return Proxy(root / options.folder, options)


class Proxy:
    """Each is a process of its own, and three files: `.routes` is ours, `.front` and `.seen` are its."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._options = options

    def routes(self, name: str) -> Routes | None:
        """What the file says, if the process is there. Without a file that says it, nobody knows; the next `route` writes one."""
        if self._runs(name) is None:
            return None
        try:
            return msgspec.json.decode(self._file(name, "routes").read_bytes(), type=Routes)
        except (OSError, msgspec.DecodeError):
            return None

    def route(self, name: str, routes: Routes) -> str:
        """Write it down, and wait until the process says that it has it."""
        _refuse_open(self._options.host)
        with alone(self._folder, f"{name}.front", 2 * _WAIT + _DRAIN):
            return self._routed(name, routes)

    def _routed(self, name: str, routes: Routes) -> str:
        content = msgspec.json.encode(routes)
        runs = self._runs(name)
        if runs is not None and runs["options"] != self._said():
            self._refuse_taken(name, runs["options"])
            self._end(name)
            runs = None
        if runs is not None and runs["applied"] == hashing.of_bytes(content) and self.routes(name) == routes:
            return str(runs["address"])
        write_atomically(self._file(name, "routes"), content)
        process = self._start(name) if runs is None else None
        until = time.monotonic() + _WAIT
        while time.monotonic() < until and (process is None or process.poll() is None):
            found = self._runs(name)
            if found is not None and found["applied"] == hashing.of_bytes(content):
                if process is not None:
                    process.returncode = 0  # it outlives us, and nobody here is to wait for its end
                return str(found["address"])
            time.sleep(0.02)
        words = self._file(name, "front-log").read_bytes()[-1000:].decode(errors="replace").strip().splitlines()
        raise self._failed(name, "start" if process else "take over new routes", words[-1] if words else "")

    def _failed(self, name: str, what: str, why: str) -> OutsideError:
        return OutsideError(
            f"the front of {name} does not {what}" + (f": {why}" if why else ""),
            code="PO-A120",
            expected=f"a free port {self._options.port or ''} at {self._options.host}".replace("  ", " "),
            remedy=f"ss -ltnp shows who has the port; its log is {self._file(name, 'front-log')}",
        )

    def _refuse_taken(self, name: str, before: dict[str, Any]) -> None:
        """One that is to listen elsewhere goes on where it is, while it cannot there."""
        if self._options.port in {0, before.get("port")}:
            return
        family = socket.AF_INET6 if ":" in self._options.host else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((self._options.host, self._options.port))
            except OSError as error:
                raise self._failed(name, "move", str(error)) from None

    def seen(self, name: str) -> Seen | None:
        """What the process wrote, at most a second ago."""
        try:
            return msgspec.json.decode(self._file(name, "seen").read_bytes(), type=Seen)
        except (OSError, msgspec.DecodeError):
            return None

    def stop(self, name: str) -> None:
        """Ask it to end, and wait until what is under way is answered."""
        with alone(self._folder, f"{name}.front", 2 * _WAIT + _DRAIN):
            self._end(name)

    def _end(self, name: str) -> None:
        runs = self._runs(name)
        if runs is not None:
            processes.end(runs["pid"], runs["since"], _DRAIN)
        for each in ("front", "routes", "seen"):
            self._file(name, each).unlink(missing_ok=True)

    def _file(self, name: str, ending: str) -> Path:
        return self._folder / f"{name}.{ending}"

    def _said(self) -> dict[str, Any]:
        return {"host": self._options.host, "port": self._options.port}

    def _runs(self, name: str) -> dict[str, Any] | None:
        """What the process wrote of itself, if it is there, and since when it is."""
        try:
            found: dict[str, Any] = json.loads(self._file(name, "front").read_bytes())
        except (OSError, ValueError):
            return None
        pid = int(found["pid"])
        # The start before the words: whose number has gone to another meanwhile is told by its start, by who ends it.
        found["since"] = processes.since(pid)
        ours = not processes.told() or os.fspath(self._folder / name) in processes.words(pid)
        return found if found["since"] is not None and ours else None

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        options = self._options
        place = os.fspath(self._folder / name)
        for pid in processes.numbers():  # one that was started by who was killed before it wrote of itself
            began, words = processes.since(pid), processes.words(pid)
            if began is not None and _PROGRAM in words and place in words:
                processes.end(pid, began, _DRAIN)
        program = [sys.executable, "-P", "-m", _PROGRAM]
        with self._file(name, "front-log").open("wb") as out:
            return subprocess.Popen(
                [*program, place, options.host, str(options.port)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )


def _refuse_open(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UserError(
            f"a front listens on this machine only, and not at {host}",
            code="PO-A122",
            expected="host = 127.0.0.1 or ::1",
            remedy="let what encrypts for your network (nginx, Caddy, an ingress) pass requests to the front's port",
        )
