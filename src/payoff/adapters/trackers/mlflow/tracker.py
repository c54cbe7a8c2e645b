"""The control side: starts the tracking process, hands it records, reads its answers. MLflow is never imported here."""

from __future__ import annotations

import importlib.metadata
import os
import select
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.adapters.trackers.mlflow.settings import FOLDER, SCHEMES, Settings, absolute, redacted, scheme
from payoff.base.clock import stopwatch
from payoff.base.errors import UserError, Where
from payoff.base.telemetry import SILENT
from payoff.base.text import did_you_mean
from payoff.records import wire
from payoff.records.run import RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPABILITIES: dict[str, Any] = {"remote": True, "background": True, "models": True, "registry": True}
_MODULE = "payoff.adapters.trackers.mlflow.process"
_LOG_BYTES = 1_000_000
# MLflow's own talk and its questions to the network, which no run asked for. A user's setting of any of them stands.
_QUIET = {
    **SILENT,
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """`[tracking]` in payoff.toml.

    `uri`: an SQLite file relative to the project, a tracking server (`https://...`), or a database MLflow knows. User
    and password of a server go into MLflow's own variables (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`,
    `MLFLOW_TRACKING_TOKEN`). `experiment` and `registered_model`: the project's name unless said otherwise.
    """

    uri: str = "sqlite:///.payoff/mlflow.db"
    experiment: str = ""
    registered_model: str = ""
    enabled: bool = True


def connect(root: Path, options: Options | None = None) -> MlflowTracker:
    """The tracker of the project in `root`; nothing is started or opened.

    Raises `UserError` (PO-K001) for an unknown kind of address.
    """
    chosen = options or Options()
    if scheme(chosen.uri) not in SCHEMES:
        raise UserError(
            f"the tracking address {redacted(chosen.uri)!r} is of no kind that MLflow tracks to",
            code="PO-K001",
            expected=did_you_mean(scheme(chosen.uri), SCHEMES),
            where=Where("payoff.toml"),
            remedy='set [tracking] uri = "sqlite:///.payoff/mlflow.db" or the address of a tracking server',
        )
    return MlflowTracker(root.absolute(), chosen)


def write(folder: Path, record: RunRecord, files: Mapping[str, str]) -> None:
    """Write the model of a run to `folder` as the tracker keeps it, for no tracking server: whoever logs it gives it its names there."""
    from payoff.adapters.trackers.mlflow import model

    model.build(folder, record, files, model.Identity(None, record.run, importlib.metadata.version("mlflow-skinny")))


class MlflowTracker:
    """See `payoff.ports.tracker.Tracker`. One caller, one thread."""

    def __init__(self, root: Path, options: Options) -> None:
        self._options = options
        self._settings = Settings(
            uri=absolute(options.uri, root),
            folder=str(root / FOLDER),
            experiment=options.experiment,
            registered_model=options.registered_model,
        )
        self._process: _Process | None = None
        self._answers: dict[str, dict[str, Any]] = {}
        self._asked: list[str] = []

    def start(self) -> None:
        """Start the process, which imports MLflow and opens (or makes) the store while the run goes on."""
        if not self._options.enabled or self._process is not None:
            return
        try:
            self._process = _Process(self._settings)
        except OSError as error:
            self._fail([], f"the tracking process could not be started ({error.strerror})")

    def track(self, record: RunRecord, files: Mapping[str, str]) -> None:
        """Hand over a run. `files` may also name `code` (a folder whose Python files go with the model), `charter`."""
        if not self._options.enabled:
            return
        self.start()
        self._asked.append(record.run)
        self._answers.pop(record.run, None)
        line = b'{"files":' + msgspec.json.encode(dict(files)) + b',"record":' + wire.encode(record, RunRecord) + b"}\n"
        if self._process is None or not self._process.write(line):
            self._fail([record.run], "the tracking process has ended")

    def finish(self, seconds: float) -> dict[str, dict[str, Any]]:
        """See the port. The process is told that no more comes, and ends when it is done; nobody has to wait for it."""
        process, end = self._process, stopwatch() + seconds
        if process is not None:
            process.no_more()
            while not all(run in self._answers for run in self._asked):
                answers = process.read(end - stopwatch())
                if answers is None:
                    missing = [run for run in self._asked if run not in self._answers]
                    self._fail(missing, "the tracking process ended before it was done")
                    break
                if not answers and stopwatch() >= end:
                    break
                for answer in answers:
                    self._answers[answer.pop("run")] = answer
            process.leave()
            self._process = None
        found = {run: self._answers[run] for run in self._asked if run in self._answers}
        self._asked.clear()
        return found

    def address(self) -> dict[str, str]:
        """`uri` (no secrets in it) and the `command` that shows it: MLflow's user interface, or the server's page."""
        uri = redacted(self._settings.uri)
        if self._settings.served:
            return {"uri": uri, "command": f"python -m webbrowser {shlex.quote(uri)}"}
        return {"uri": uri, "command": f"{_runner()} mlflow ui --backend-store-uri {shlex.quote(uri)}"}

    def _fail(self, runs: list[str], what: str) -> None:
        remedy = f"read {Path(FOLDER, 'mlflow.log')}; the next payoff run tries again"
        for run in runs:
            self._answers[run] = {"error": what, "code": "PO-K007", "try": remedy}


def _runner() -> str:
    """How to start MLflow's user interface. It is in the full `mlflow`, which Payoff does not need; `uvx` fetches it.

    Its version is the one that wrote the store, because MLflow opens no store of another version.
    """
    from importlib.metadata import PackageNotFoundError, version

    own_uv = Path(sys.executable).with_name("uv")
    try:
        if version("mlflow"):
            return f"{shlex.quote(sys.executable)} -m"
    except PackageNotFoundError:
        pass
    uvx = "uvx" if shutil.which("uvx") or not own_uv.exists() else f"{shlex.quote(str(own_uv))} tool run"
    return f"{uvx} --from mlflow=={version('mlflow-skinny')}"


class _Process:
    """The tracking process and its two pipes. Started without `subprocess`, which would insist on being waited for."""

    def __init__(self, settings: Settings) -> None:
        folder = Path(settings.folder)
        folder.mkdir(parents=True, exist_ok=True)
        log = _log(folder / "mlflow.log")
        read_end, self._stdin = os.pipe()
        self._stdout, write_end = os.pipe()
        try:
            moves = [
                (os.POSIX_SPAWN_DUP2, source, target) for source, target in ((read_end, 0), (write_end, 1), (log, 2))
            ]
            command = [sys.executable, "-P", "-m", _MODULE]  # -P: the project's folder may hold a mlflow.py of its own
            self.pid = os.posix_spawn(sys.executable, command, {**_QUIET, **os.environ}, file_actions=moves)
        finally:
            for descriptor in (read_end, write_end, log):
                os.close(descriptor)
        self._buffer = b""
        self.write(msgspec.json.encode(settings) + b"\n")

    def write(self, line: bytes) -> bool:
        """False when the process has ended."""
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._stdin, view) :]
        except OSError:
            return False
        return True

    def no_more(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def read(self, seconds: float) -> list[dict[str, Any]] | None:
        """Answers that came in, waiting up to `seconds` for the first; None when the process has ended."""
        waiting = select.poll()
        waiting.register(self._stdout, select.POLLIN)
        if not waiting.poll(max(0.0, seconds) * 1000):
            return []
        piece = os.read(self._stdout, 1 << 16)
        if not piece:
            return None
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        return [msgspec.json.decode(line) for line in lines]

    def leave(self) -> None:
        """Close the pipes; the process is not ended, and not left as a zombie where it has ended."""
        self.no_more()
        os.close(self._stdout)
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return

    def __del__(self) -> None:
        if getattr(self, "_stdin", -1) >= 0:
            self.leave()


def _log(path: Path) -> int:
    try:
        too_long = path.exists() and path.stat().st_size > _LOG_BYTES
        return os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if too_long else os.O_APPEND), 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
