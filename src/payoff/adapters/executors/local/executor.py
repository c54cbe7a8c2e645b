"""One fork server per sandbox; tasks go to them as JSON lines, results come back as such."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.adapters.executors.local import entering, keeping, sandbox
from payoff.base.errors import OutsideError
from payoff.base.telemetry import SILENT
from payoff.records.task import Failure, TaskResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from payoff.records.hybrids.environment import Inspection, Kept, Limits
    from payoff.records.project import Environment
    from payoff.records.task import Task

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "worker", "server.py")
_UNWRITTEN = 74  # the exit code of a task that could not write its result
_GRACE = 3.0  # seconds a server has to end its tasks and itself
# What Python reads when it starts, before a task is known; the rest is the worker's (determinism.py).
_ENVIRON = {"PYTHONHASHSEED": "0", "TF_CPP_MIN_LOG_LEVEL": "2"}


class Server:
    """A running fork server."""

    def __init__(self, place: Path, door: int, root: Path, variables: Mapping[str, str]) -> None:
        self.sandbox = place
        environ = {**SILENT, **sandbox.clean_environ(), **_ENVIRON, **variables}
        environ = {name: value for name, value in environ.items() if value or name not in variables}
        self.process = subprocess.Popen(
            [str(place / "bin" / "python"), "-s", os.path.normpath(_WORKER), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            env=environ,
            start_new_session=True,
            pass_fds=(door,),  # open as long as it lives, whatever becomes of this process
        )
        self.buffer = b""
        self.tasks: dict[str, Task] = {}

    def send(self, message: bytes) -> None:
        """Say one line to the server."""
        assert self.process.stdin is not None  # noqa: S101 - PIPE above
        self.process.stdin.write(message + b"\n")
        self.process.stdin.flush()

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that came in; None when the server is gone."""
        assert self.process.stdout is not None  # noqa: S101 - PIPE above
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        if not data:
            return None
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """Close its input, on which it kills what it started and ends; killed itself when it does not."""
        with contextlib.suppress(OSError):
            if self.process.stdin:
                self.process.stdin.close()
        assert self.process.stdout is not None  # noqa: S101 - PIPE above
        with self.process.stdout as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            deadline = time.monotonic() + _GRACE
            while (left := deadline - time.monotonic()) > 0 and selector.select(left):
                if not os.read(stream.fileno(), 1 << 16):  # it ended; waiting with a time limit would sleep too long
                    break
            else:
                self.process.kill()
        self.process.wait()


class LocalExecutor:
    """See `ports.executor.Executor`."""

    def __init__(self, root: Path, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._variables = variables or {}
        self._folder = folder
        self._servers: dict[str, Server] = {}
        self._done: list[TaskResult] = []

    def prepare(
        self, environment: Environment, tell: Callable[[str], None], soon: Task | None = None, *, hint: bool = False
    ) -> dict[str, Any]:
        """Make the sandbox and start its server; for a task that will come, have a process import what the last such task imported."""
        if hint and not sandbox.is_ready(environment, self._folder):
            return {}
        try:
            server = self._serve(environment, tell)
        except OSError:
            if hint:
                return {}
            raise
        if soon is not None:
            with contextlib.suppress(OSError):  # a server that is gone is met when the task comes
                server.send(msgspec.json.encode({"ready": _slim(soon)}))
        return {"folder": str(server.sandbox)}

    def _serve(self, environment: Environment, tell: Callable[[str], None]) -> Server:
        server = self._servers.get(environment.digest)
        if server is None:
            place, door = sandbox.hold(environment, self._root, self._folder, tell)
            try:
                server = self._servers[environment.digest] = Server(place, door, self._root, self._variables)
            finally:
                os.close(door)
        return server

    def submit(self, task: Task) -> None:
        """Send a task to its sandbox's server."""
        server = self._serve(task.environment, lambda _line: None)
        server.tasks[task.id] = task
        try:
            server.send(msgspec.json.encode(_slim(task)))
        except OSError:
            self._lost(server)

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        """Results that came in."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            done, self._done = self._done, []
            if done or not any(server.tasks for server in self._servers.values()):
                return done
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._receive(left)
            if not self._done and deadline is not None and time.monotonic() >= deadline:
                return []

    def cancel(self, task_id: str) -> None:
        """Kill a task."""
        for server in self._servers.values():
            if task_id in server.tasks:
                with contextlib.suppress(OSError):  # a server that is gone is met when its results are waited for
                    server.send(msgspec.json.encode({"cancel": task_id}))

    def close(self) -> None:
        """End all servers, and with them all they started."""
        servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.end()

    # -- see `ports.environments.keeper.Keeper`

    def kept(self) -> list[Kept]:
        """The sandboxes that are there."""
        return keeping.kept(self._folder)

    def discard(self, digest: str) -> bool:
        """Remove one that nobody has in use."""
        return keeping.discard(self._folder, digest)

    def inspect(self, environment: Environment) -> Inspection:
        """Hold the lock and the sandbox against what they should be."""
        return keeping.inspect(environment, self._root, self._folder)

    def enter(
        self, environment: Environment, command: Sequence[str], limits: Limits, tell: Callable[[str], None]
    ) -> int:
        """Run a command in a sandbox on this terminal."""
        place, door = sandbox.hold(environment, self._root, self._folder, tell)
        try:
            return entering.enter(place, self._root, command, limits, tell)
        finally:
            os.close(door)

    def _receive(self, seconds: float | None) -> None:
        with selectors.DefaultSelector() as selector:
            for server in self._servers.values():
                if server.tasks and server.process.stdout:
                    selector.register(server.process.stdout, selectors.EVENT_READ, server)
            for key, _ in selector.select(seconds):
                messages = key.data.receive()
                if messages is None:
                    self._lost(key.data)
                else:
                    self._done += [_result(key.data.tasks.pop(m["id"]), m) for m in messages]

    def _lost(self, server: Server) -> None:
        """A server that is gone takes its tasks with it; the next task gets a new one."""
        for task in server.tasks.values():
            failure = Failure(
                kind="killed",
                error="SandboxLost",
                message="its sandbox's server ended",
                signal=signal.SIGKILL,
                retryable=True,
            )
            self._done.append(TaskResult(id=task.id, ok=False, failure=failure))
        server.tasks = {}
        for digest, each in list(self._servers.items()):
            if each is server:
                del self._servers[digest]
        server.end()


def _slim(task: Task) -> Task:
    """A task without the long list of its environment's packages, which a sandbox does not ask for."""
    packages: dict[str, str] = {}
    return msgspec.structs.replace(task, environment=msgspec.structs.replace(task.environment, packages=packages))


def _result(task: Task, message: dict[str, Any]) -> TaskResult:
    """A server's message as a result; a child that wrote none was ended before it could."""
    found = message["result"]
    failure = found.get("failure")
    if message["cancelled"]:
        failure = {"kind": "cancelled", "error": "Cancelled", "message": "it was cancelled"}
    elif not found:
        failure = _ended(task, message)
    try:
        return TaskResult(
            id=task.id,
            ok=failure is None,
            kind=found.get("kind", "none"),
            file=found.get("file", ""),
            python_type=found.get("python_type", ""),
            sql=found.get("sql", ""),
            seconds=found.get("seconds", message["wall"]),
            peak_memory_bytes=message["peak"],
            metrics=found.get("metrics", {}),
            fingerprint=found.get("fingerprint", {}),
            extra=found.get("extra", {}),
            log=message["log"],
            log_tail=message["tail"],
            failure=None if failure is None else msgspec.convert(failure, Failure),
        )
    except (msgspec.ValidationError, TypeError) as error:
        raise OutsideError(
            f"the sandbox of step {task.step} answered something that cannot be read",
            code="PO-X006",
            remedy="payoff run again; if it stays, remove .payoff/environments and run again",
        ) from error


def _ended(task: Task, message: dict[str, Any]) -> dict[str, Any]:
    code = message["exit"]
    if code == _UNWRITTEN:
        return {"kind": "exit", "error": "Exit", "message": "its result could not be written: is the disk full?"}
    if code >= 0:
        return {"kind": "exit", "error": "Exit", "message": f"its process ended with exit code {code}"}
    limit = task.environment.memory_bytes
    near = bool(limit and message["peak"] > 0.9 * limit)
    kind = "memory" if -code == signal.SIGKILL and (near or _memory_is_short()) else "killed"
    said = (
        "its process was killed, probably because memory ran out" if -code == signal.SIGKILL else "its process crashed"
    )
    return {"kind": kind, "error": _signal_name(-code), "message": said, "signal": -code}


def _signal_name(number: int) -> str:
    """SIGSEGV and the like; the real-time signals between the first and the last have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _memory_is_short() -> bool:
    """True when the kernel killed a process for memory since it started (it does not say which, so little memory must be free too)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in stream)}
    except (OSError, ValueError, IndexError):
        return False
    return sizes.get("MemAvailable", 1) < 0.05 * sizes.get("MemTotal", 1)
