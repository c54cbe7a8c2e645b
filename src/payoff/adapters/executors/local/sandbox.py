"""Makes a uv lock real: a virtual environment named by the lock's digest, whole or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import OutsideError, UserError, Where

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.records.project import Environment

READY = "payoff-ready"
LOCK = ".lock"


def is_ready(environment: Environment, folder: Path) -> bool:
    """Whether the sandbox is there, whole."""
    return (folder / environment.digest / READY).exists()


def hold(environment: Environment, root: Path, folder: Path, tell: Callable[[str], None]) -> tuple[Path, int]:
    """The sandbox of an environment, made when it is not there, and an open file: nobody removes the sandbox while a process has it open.

    It is made under a lock in its final place (a virtual environment cannot be moved) and marked ready last: one without the mark
    is what a kill left, and is made again.
    """
    place = folder / environment.digest
    folder.mkdir(parents=True, exist_ok=True)
    door = os.open(folder / f"{environment.digest}{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while True:
            _wait(door, fcntl.LOCK_SH, tell)
            if is_ready(environment, folder):
                with contextlib.suppress(OSError):
                    os.utime(place / READY)  # when it was used last
                return place, door
            _wait(door, fcntl.LOCK_EX, tell)
            if not is_ready(environment, folder):
                shutil.rmtree(place, ignore_errors=True)
                _check(environment, root)
                _sync(environment, root, place, tell)
                (place / READY).write_bytes(msgspec.json.encode(_facts(environment)))
            # Between the two locks somebody may remove it: looked at again.
    except BaseException:
        os.close(door)
        raise


def _facts(environment: Environment) -> dict[str, object]:
    return {
        "name": environment.name,
        "folder": environment.folder,
        "python": environment.python,
        "packages": len(environment.packages),
    }


def clean_environ() -> dict[str, str]:
    """Our own environment without what would lead uv elsewhere, and without Python's switches: what a step does must not hang on the shell."""
    away = ("VIRTUAL_ENV", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT")
    return {name: value for name, value in os.environ.items() if name not in away and not name.startswith("PYTHON")}


def _check(environment: Environment, root: Path) -> None:
    """Refuse a lock that does not say what pyproject.toml asks for."""
    done = run_uv(["lock", "--check", "--project", str(root / environment.folder)], root, {})
    if done.returncode == 0:
        return
    if "needs to be updated" in done.stderr or "outdated" in done.stderr:
        raise UserError(
            f"the lock of environment {environment.name} does not match its pyproject.toml",
            code="PO-X001",
            expected="a uv.lock made from the pyproject.toml beside it",
            remedy=f"uv lock --project {environment.folder}, then commit uv.lock",
            where=Where(os.path.normpath(os.path.join(environment.folder, "uv.lock"))),
        )
    _raise(environment, done.stderr)


def _sync(environment: Environment, root: Path, place: Path, tell: Callable[[str], None]) -> None:
    tell(f"installing {len(environment.packages)} packages")
    began = time.monotonic()
    done = run_uv(sync_words(environment, root), root, {"UV_PROJECT_ENVIRONMENT": str(place)})
    if done.returncode != 0:
        shutil.rmtree(place, ignore_errors=True)
        _raise(environment, done.stderr)
    tell(f"installed in {time.monotonic() - began:.1f} s")


def requirements(environment: Environment, root: Path) -> str:
    """The lock as a requirements.txt with hashes (`pip install --require-hashes`)."""
    words = [
        "export",
        "--quiet",
        "--frozen",
        "--no-emit-project",
        "--no-header",
        "--no-annotate",
        "--format",
        "requirements-txt",
    ]
    words += ["--project", str(root / environment.folder), *_chosen(environment)]
    done = run_uv(words, root, {})
    if done.returncode != 0:
        _raise(environment, done.stderr)
    return done.stdout


def sync_words(environment: Environment, root: Path) -> list[str]:
    """What uv is told to install exactly the lock; the variable UV_PROJECT_ENVIRONMENT says where."""
    words = ["sync", "--frozen", "--no-install-project", "--project", str(root / environment.folder)]
    if "UV_LINK_MODE" not in os.environ:  # one copy of a file for all environments, where the cache is on the same disk
        words += ["--link-mode", "hardlink"]
    return words + _chosen(environment)


def _chosen(environment: Environment) -> list[str]:
    words = ["--no-default-groups", *(word for group in environment.groups for word in ("--group", group))]
    return words + [word for extra in environment.extras for word in ("--extra", extra)]


def run_uv(words: list[str], root: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run uv; what it says is the answer's."""
    import uv

    try:
        return subprocess.run(
            [uv.find_uv_bin(), *words, "--color", "never", "--no-progress"],
            cwd=root,
            env={**clean_environ(), **more},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise OutsideError(
            "the program uv was not found",
            code="PO-X002",
            expected="uv beside payoff",
            remedy="uv pip install uv, or install payoff again",
        ) from error


def _raise(environment: Environment, said: str) -> None:
    lines = [line for line in said.splitlines() if line.strip()]
    short = " ".join(lines)[-600:]
    offline = (
        "Failed to fetch",
        "error sending request",
        "dns error",
        "Connection refused",
        "timed out",
        "client error",
        "Network connectivity is disabled",
    )
    if any(word in said for word in offline):
        raise OutsideError(
            f"the packages of environment {environment.name} could not be fetched: {short}",
            code="PO-X003",
            expected="a package index that can be reached",
            remedy="check the network and uv's index settings, then payoff run",
            retryable=True,
        )
    if "No space left" in said:
        raise OutsideError(
            f"no space left while installing environment {environment.name}",
            code="PO-X004",
            expected="free space under .payoff/environments",
            remedy="free some space, then payoff run",
        )
    raise UserError(
        f"environment {environment.name} cannot be installed: {short}",
        code="PO-X005",
        expected="a uv.lock that can be installed on this machine",
        remedy=f"uv sync --project {environment.folder} shows the whole story; mend pyproject.toml, uv lock, payoff run",
        where=Where(os.path.normpath(os.path.join(environment.folder, "uv.lock"))),
    )


def _wait(door: int, kind: int, tell: Callable[[str], None]) -> None:
    """One maker at a time; the lock goes with the processes that have the file open."""
    try:
        fcntl.flock(door, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("waiting for another run that is making the same environment")
        fcntl.flock(door, kind)
