"""How a model's process is started. It hangs on a few plain facts and imports next to nothing, so that a container starts it before its server has imported anything: both load
at the same time, where there are two processors.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from payoff.base.hashing import sha256_of
from payoff.base.telemetry import SILENT

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "worker", "server.py")
_ENVIRON = {"PYTHONHASHSEED": "0", "TF_CPP_MIN_LOG_LEVEL": "2"}  # as the steps of a run have it
_AWAY = ("VIRTUAL_ENV", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT")
_ERRORS = 2  # what a model prints is no answer of ours
_LARGEST = 256 << 20  # bytes of a model that is digested twice rather than waited for


class Facts(NamedTuple):
    """What a model's process is told. `python`, `root` and `model` are paths; `features` is how many of the columns of `schema` (an Arrow IPC message) the model takes."""

    python: str
    root: str
    model: str
    variables: Mapping[str, str]
    step: str
    threads: int | None
    seed: int | None
    deterministic: bool
    memory_bytes: int | None
    most_threads: int | None
    form: str
    outputs: tuple[str, ...]
    schema: bytes
    features: int


class Launch(NamedTuple):
    """How to start a model's process: its words, its environment variables, what it is told."""

    words: list[str]
    environ: dict[str, str]
    task: dict[str, Any]
    root: str

    def same(self, other: Launch) -> bool:
        """Whether both start the same model; the environment of this process, which libraries write to while they are imported, is no part of that."""
        return (self.words, self.task, self.root) == (other.words, other.task, other.root)


class Started:
    """A process on its way, and our end of its socket. By the thread that will be there longest: it ends with the thread that started it."""

    def __init__(self, how: Launch) -> None:
        self.how = how
        self.door, theirs = socket.socketpair()
        with theirs:
            task = json.dumps({**how.task, "socket": theirs.fileno()})
            self._process = subprocess.Popen(
                [*how.words, task],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=_ERRORS,
                cwd=how.root,
                env=how.environ,
            )
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, when it did."""
        return self._process.poll()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    async def wait(self) -> int:
        """Wait until it has ended."""
        import asyncio  # takes as long as all the rest here

        return await asyncio.to_thread(self._process.wait)

    def leave(self) -> None:
        """It is not needed: without its socket it ends by itself, and it is not waited for."""
        self.door.close()
        self.kill()
        self._process.wait()


def launch(facts: Facts) -> Launch:
    """What it takes to start the model."""
    task = {
        "root": facts.root,
        "step": facts.step,
        "environment": {"memory_bytes": facts.memory_bytes, "threads": facts.most_threads},
        "threads": facts.threads,
        "seed": facts.seed,
        "deterministic": facts.deterministic,
        "model": facts.model,
        "form": facts.form,
        "outputs": list(facts.outputs),
        "schema": facts.schema.hex(),
        "features": facts.features,
        "beside": os.path.join(tempfile.gettempdir(), f"payoff-{os.getpid()}"),
    }
    words = [facts.python, "-s", os.path.normpath(_WORKER), facts.root]
    return Launch(words, _environ(facts.variables), task, facts.root)


def early(folder: str, environ: Mapping[str, str]) -> Started | None:
    """The process of a released model whose files lie in `folder` (payoff.flows.serve.released says which), started at once.

    None where the files are not what the release says, where the model is too large to be digested twice, or anything is missing: who opens the release says what it is.
    """
    place = Path(folder).absolute()
    top = place.parents[1]
    try:
        said = json.loads((place / "released.json").read_bytes())
        model = place / Path(said["file"]).name
        if model.stat().st_size > _LARGEST:
            return None
        # Nothing of the model is run before its bytes are known to be those that were released.
        if sha256_of(model) != said["sha256"] or environ.get("PAYOFF_MODEL", said["sha256"]) != said["sha256"]:
            return None
        served, environment = said["served"], said["environment"]
        step = served["step"]
        facts = Facts(
            python=str(top / "opt" / "environment" / "bin" / "python"),
            root=str(top / "srv"),
            model=str(model),
            variables=said.get("variables", {}),
            step=step["name"],
            threads=step["threads"],
            seed=step["seed"],
            deterministic=step["deterministic"],
            memory_bytes=environment["memory_bytes"],
            most_threads=environment["threads"],
            form=served["form"],
            outputs=tuple(each["name"] for each in served["outputs"]),
            schema=base64.b64decode(served["schema"]),
            features=len(served["features"]),
        )
        return Started(launch(facts))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _environ(variables: Mapping[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _AWAY and not name.startswith("PYTHON")}
    made = {**SILENT, **own, **_ENVIRON, **variables}
    return {name: value for name, value in made.items() if value or name not in variables}
