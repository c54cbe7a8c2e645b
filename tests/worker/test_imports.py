"""Bytecode: of packages it is kept in the sandbox, of the project's own modules nowhere."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from payoff.records.task import Task
from payoff.testing.executor import connect, project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.ports.executor import Executor

ADAPTER = "payoff.executors:local"
STEPS = """
import iniconfig

def cached():
    import helper
    return [iniconfig.__cached__, getattr(helper, "__cached__", None)]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one small package, its sandbox not made yet."""
    root = tmp_path_factory.mktemp("bytecode")
    project(root, dependencies=["iniconfig==2.1.0"])
    (root / "pipeline.py").write_text(STEPS)
    (root / "helper.py").write_text("x = 1\n")
    return root


@pytest.fixture
def root(installed: Path, tmp_path: Path) -> Path:
    shutil.copytree(installed, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def executor(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    """On a machine that asks Python for no bytecode, as images of containers often do."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", str(root / "elsewhere"))
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    made = connect(ADAPTER, root)
    yield made
    made.close()


def tasks(root: Path, count: int) -> list[Task]:
    environment = project(root, dependencies=["iniconfig==2.1.0"])
    return [
        Task(
            id=f"t{number}", kind="call", step="s", environment=environment, root=str(root), module="pipeline",
            function="cached", output=str(root / f"out{number}"), options={"output_form": "object"},
        )
        for number in range(count)
    ]  # fmt: skip


def bytecode(root: Path) -> list[Path]:
    return list(root.rglob("*.pyc*"))


def test_bytecode_of_packages_is_kept_whatever_the_machine_says(executor: Executor, root: Path) -> None:
    """Many processes import, and write, the same at the same time."""
    for task in tasks(root, 16):
        executor.submit(task)
    came = 0
    while came < 16:
        results = executor.wait(60)
        assert all(each.ok for each in results), results
        came += len(results)
    found = bytecode(root)
    kept = [each for each in found if each.parent.parent.name == "iniconfig"]
    assert {each.name.partition(".")[0] for each in kept} == {"__init__", "exceptions", "_parse"}
    assert all(each.suffix == ".pyc" and "opt" not in each.name for each in kept), "whole files, and no half ones"
    assert all((root / ".payoff" / "environments") in each.parents for each in found), (
        "none of the project's own modules"
    )


def test_broken_bytecode_of_a_package_is_made_again(executor: Executor, root: Path) -> None:
    (task,) = tasks(root, 1)
    executor.submit(task)
    assert executor.wait(60)[0].ok
    (kept,) = [each for each in bytecode(root) if each.parent.parent.name == "iniconfig" and "exceptions" in each.name]
    kept.write_bytes(b"")
    executor.submit(task)
    assert executor.wait(60)[0].ok
    assert kept.stat().st_size


def test_two_programs_make_one_sandbox_together(root: Path) -> None:
    """One waits for the other, or finds it made."""
    (task,) = tasks(root, 1)

    def run(number: int) -> bool:
        executor = connect(ADAPTER, root)
        try:
            executor.submit(msgspec.structs.replace(task, output=str(root / f"o{number}")))
            return executor.wait(60)[0].ok
        finally:
            executor.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [True] * 4


def test_a_sandbox_that_was_half_made_is_made_again(executor: Executor, root: Path) -> None:
    (task,) = tasks(root, 1)
    place = Path(executor.prepare(task.environment, lambda _line: None)["folder"])
    executor.close()
    (place / "payoff-ready").unlink()
    (place / "bin" / "python").unlink()
    executor.submit(task)
    assert executor.wait(60)[0].ok


def test_a_server_that_was_killed_is_started_again(executor: Executor, root: Path) -> None:
    """What was under way is answered as lost, and may be tried again."""
    (task,) = tasks(root, 1)
    (root / "pipeline.py").write_text("import os, signal\n\ndef cached():\n    os.kill(os.getppid(), signal.SIGKILL)\n")
    executor.submit(task)
    (result,) = executor.wait(60)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.retryable) == ("killed", True)
    executor.cancel(task.id)
    (root / "pipeline.py").write_text("def cached(): ...\n")
    executor.submit(task)
    assert executor.wait(60)[0].ok
