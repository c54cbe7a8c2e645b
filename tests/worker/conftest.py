"""The worker's server, started as an executor starts it, by an interpreter that has pyarrow, pandas and ibis."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sysconfig
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import payoff
from payoff.testing.executor import connect, project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = Path(payoff.__file__).parent / "worker" / "server.py"


class Worker:
    """Speaks to a server as an executor does."""

    def __init__(self, root: Path, python: Path, **environ: str) -> None:
        self.root = root
        self.process = subprocess.Popen(
            [str(python), "-s", str(SERVER), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            env={**{n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}, **environ},
            start_new_session=True,
        )

    def task(self, function: str = "step", **changes: Any) -> dict[str, Any]:
        """A task for a function of `pipeline.py`."""
        plain = {
            "id": "t", "kind": "call", "step": "s", "environment": {}, "root": str(self.root), "module": "pipeline",
            "function": function, "inputs": [], "parameters": {}, "output": str(self.root / "out"), "seed": None,
            "deterministic": True, "threads": None, "options": {},
        }  # fmt: skip
        return {**plain, **changes}

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, seconds: float = 60) -> dict[str, Any]:
        """The next message."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(seconds), "no answer"
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def result(self, source: str | None = None, function: str = "step", **changes: Any) -> dict[str, Any]:
        """What a task of a new `pipeline.py` came to."""
        if source is not None:
            (self.root / "pipeline.py").write_text(source)
        self.send(self.task(function, **changes))
        found: dict[str, Any] = self.answer()["result"]
        return found

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        self.process.wait(20)

    def children(self, pid: int | None = None) -> list[int]:
        """The processes that the server, or another process, started and that run."""
        pid = pid or self.process.pid
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return [int(word) for word in words if self.running(int(word))]

    @staticmethod
    def running(pid: int) -> bool:
        """Whether a process runs (a zombie does not)."""
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    @staticmethod
    def until(what: Callable[[], object], seconds: float = 20) -> bool:
        """Whether something becomes true in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if what():
                return True
            time.sleep(0.01)
        return False


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter of its own, which sees the libraries that the tests have, and nothing of ours."""
    place = tmp_path_factory.mktemp("worker") / "venv"
    venv.create(place, symlinks=True, with_pip=False)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return place / "bin" / "python"


@pytest.fixture
def worker(tmp_path: Path, python: Path) -> Iterator[Worker]:
    root = tmp_path / "project"
    root.mkdir()
    made = Worker(root, python, PYTHONHASHSEED="0")
    yield made
    made.close()


@pytest.fixture(scope="session")
def tables_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter of a sandbox that uv made, with ibis and polars."""
    root = tmp_path_factory.mktemp("tables")
    environment = project(root, dependencies=["ibis-framework[duckdb]", "polars", "pyarrow"])
    executor = connect("payoff.executors:local", root)
    try:
        return Path(executor.prepare(environment, lambda _line: None)["folder"]) / "bin" / "python"
    finally:
        executor.close()


@pytest.fixture
def tables_worker(tmp_path: Path, tables_python: Path) -> Iterator[Worker]:
    root = tmp_path / "project"
    root.mkdir()
    made = Worker(root, tables_python, PYTHONHASHSEED="0")
    yield made
    made.close()
