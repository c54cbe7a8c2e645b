"""The contract suite of executors.

Inherit it in a test file and name the adapter; pytest does the rest:

    class TestMyExecutor(ExecutorSuite):
        adapter = "payoff.executors:mine"

The tasks are functions of a small project without dependencies, whose lock is made once (uv must be there).
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from payoff.base.telemetry import SILENT
from payoff.records.project import Environment
from payoff.records.task import Task
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.ports.executor import Executor
    from payoff.records.task import Failure, TaskResult

STEPS = """
import atexit, ctypes, os, random, signal, subprocess, sys, time


class Local:
    def __reduce__(self):
        raise TypeError("not to be pickled")


def answer(x=41):
    return x + 1


def fails():
    def inner():
        raise ValueError("too deep")
    inner()


def crashes():
    ctypes.string_at(0)


def ends():
    os._exit(3)


def exits():
    sys.exit("enough")


def talks(lines=1, more=""):
    for number in range(lines):
        print("line", number, "x" * 100)
    return lines


def eats():
    return bytearray(1 << 40)


def unpicklable():
    return Local()


def lacks():
    import a_package_that_nobody_has


def mistypes():
    import json.dekoder


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def tidies_up(mark):
    atexit.register(lambda: open(mark, "w").write("1"))


def hangs_at_exit():
    atexit.register(time.sleep, 600)
    return 1


def forks_a_daemon(mark):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(mark, "w") as stream:
                stream.write(str(os.getpid()))
            time.sleep(600)
        os._exit(0)
    os.wait()


def watches_its_daemon(mark, go):
    forks_a_daemon(mark)
    while not os.path.exists(go) or not os.path.getsize(mark):
        time.sleep(0.01)
    os.kill(int(open(mark).read()), 0)
    return "alive"


def sleeps(mark):
    with open(mark, "w") as stream:
        stream.write(str(os.getpid()))
    time.sleep(600)


def leaves_a_child(mark):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    with open(mark, "w") as stream:
        stream.write(str(child.pid))
    return child.pid


def leaves_and_sleeps(mark):
    leaves_a_child(mark)
    time.sleep(600)


def surroundings():
    try:
        import payoff.base
    except ModuleNotFoundError:
        inside = False
    else:
        inside = True
    return {
        "seed": random.random(), "hash": hash("text"), "cwd": os.getcwd(), "inside": inside,
        "environ": {name: os.environ.get(name) for name in ("PYTHONHASHSEED", "TF_DETERMINISTIC_OPS", "CUBLAS_WORKSPACE_CONFIG")},
        "all": dict(os.environ),
    }


def wants_a_table():
    return 3
"""

_CONTROL = """
import importlib, pathlib, sys, msgspec
from payoff.testing.executor import connect
from payoff.records.task import Task
executor = connect(sys.argv[1], pathlib.Path(sys.argv[2]))
executor.submit(msgspec.json.decode(sys.argv[3], type=Task))
executor.wait()
"""


def connect(adapter: str, root: Path) -> Executor:
    """The executor that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    executor: Executor = module.connect(root, module.Options())
    return executor


def project(folder: Path, *, dependencies: list[str], name: str = "default", sub: str = ".") -> Environment:
    """A locked environment under `folder`; needs uv, and an index when there are dependencies."""
    place = folder / sub
    place.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f'"{each}"' for each in dependencies)
    (place / "pyproject.toml").write_text(
        f'[project]\nname = "suite"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = [{listed}]\n'
    )
    subprocess.run([sys.executable, "-m", "uv", "lock", "--quiet"], cwd=place, check=True, capture_output=True)
    digest = f"{name}-{abs(hash((place / 'uv.lock').read_bytes())):x}"
    return Environment(name=name, folder=sub, python=">=3.11", packages={}, digest=digest)


def gone(pid: int, seconds: float = 10.0) -> bool:
    """True as soon as a process does not run any more (a zombie does not)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
                if stream.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


class ExecutorSuite:
    """What every executor does."""

    adapter: ClassVar[str] = ""

    @pytest.fixture(scope="class")
    @classmethod
    def root(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The project, in a folder with a space and letters beyond ASCII."""
        root = tmp_path_factory.mktemp("executor") / "mein Prüfstand"
        root.mkdir()
        (root / "steps.py").write_text(STEPS)
        return root

    @pytest.fixture(scope="class")
    @classmethod
    def environment(cls, root: Path) -> Environment:
        """A lock without a package."""
        return project(root, dependencies=[])

    @pytest.fixture
    def executor(self, root: Path) -> Iterator[Executor]:
        """The executor of the project in `root`, closed after the test."""
        made = connect(self.adapter, root)
        yield made
        made.close()

    @pytest.fixture
    def task(self, root: Path, environment: Environment, tmp_path: Path) -> Task:
        """A call of `answer` in the project's module; tests replace what they need."""
        return Task(
            id="t", kind="call", step="s", environment=environment, root=str(root), module="steps", function="answer",
            output=str(tmp_path / "out"), options={"output_form": "object"},
        )  # fmt: skip

    def done(self, executor: Executor, task: Task, function: str, **changes: Any) -> TaskResult:
        """The result of one function."""
        executor.submit(msgspec.structs.replace(task, function=function, **changes))
        (result,) = executor.wait(120)
        return result

    def failed(self, executor: Executor, task: Task, function: str, **changes: Any) -> Failure:
        """What the failure of a function says."""
        result = self.done(executor, task, function, **changes)
        assert not result.ok
        assert result.failure is not None
        return result.failure

    def value(self, result: TaskResult) -> Any:
        """What a task made."""
        assert result.ok, result.failure
        with open(result.file, "rb") as stream:
            return pickle.load(stream)  # noqa: S301 - made by this suite

    def test_a_function_is_run_and_its_answer_kept(self, executor: Executor, task: Task) -> None:
        result = self.done(executor, task, "answer", parameters={"x": 1})
        assert (self.value(result), result.kind, result.python_type) == (2, "object", "builtins.int")
        assert result.peak_memory_bytes

    def test_many_tasks_come_back_each_once(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        for number in range(20):
            executor.submit(
                msgspec.structs.replace(
                    task, id=f"t{number}", parameters={"x": number}, output=str(tmp_path / f"o{number}")
                )
            )
        results: dict[str, Any] = {}
        while len(results) < 20:
            results |= {each.id: self.value(each) for each in executor.wait(60)}
        assert results == {f"t{number}": number + 1 for number in range(20)}
        assert executor.wait(0.1) == []

    def test_an_exception_comes_with_the_steps_own_lines(self, executor: Executor, task: Task) -> None:
        failure = self.failed(executor, task, "fails")
        assert (failure.kind, failure.error) == ("exception", "ValueError")
        assert failure.where == ("steps.py", STEPS.splitlines().index('        raise ValueError("too deep")') + 1)
        assert "raise ValueError" in failure.trace
        assert "tasks.py" not in failure.trace

    def test_a_crash_is_told_from_a_failure(self, executor: Executor, task: Task) -> None:
        failure = self.failed(executor, task, "crashes")
        assert (failure.kind, failure.signal) == ("killed", signal.SIGSEGV)
        assert self.value(self.done(executor, task, "answer")) == 42

    @pytest.mark.parametrize(("function", "said"), [("ends", "3"), ("exits", "exit code 1")])
    def test_ending_the_process_is_a_failure(self, executor: Executor, task: Task, function: str, said: str) -> None:
        failure = self.failed(executor, task, function)
        assert failure.kind == "exit"
        assert said in failure.message

    def test_endless_output_is_bounded(self, executor: Executor, task: Task) -> None:
        result = self.done(executor, task, "talks", parameters={"lines": 200_000})
        assert self.value(result) == 200_000
        text = Path(result.log).read_text(encoding="utf-8")
        assert len(text) < 2_000_000
        assert text.startswith("line 0 ")
        assert "bytes left out" in text
        assert "line 199999 " in text
        assert "line 199999 " in result.log_tail

    def test_too_much_memory_is_told(self, executor: Executor, task: Task, environment: Environment) -> None:
        limited = msgspec.structs.replace(environment, memory_bytes=2 << 30)
        assert self.failed(executor, task, "eats", environment=limited).kind == "memory"

    def test_what_cannot_be_kept_is_named(self, executor: Executor, task: Task) -> None:
        failure = self.failed(executor, task, "unpicklable")
        assert failure.kind == "type"
        assert "Local" in failure.message

    def test_a_wrong_type_is_named(self, executor: Executor, task: Task) -> None:
        failure = self.failed(executor, task, "wants_a_table", options={"output_form": "pandas"})
        assert failure.kind == "type"
        assert "int" in failure.message

    def test_a_missing_package_is_named(self, executor: Executor, task: Task) -> None:
        failure = self.failed(executor, task, "lacks")
        assert failure.kind == "environment"
        assert "a_package_that_nobody_has" in failure.message
        assert failure.where is not None

    def test_a_mistyped_module_is_no_missing_package(self, executor: Executor, task: Task) -> None:
        failure = self.failed(executor, task, "mistypes")
        assert failure.kind == "exception"
        assert "json.dekoder" in failure.message

    def test_a_kill_from_outside_is_probably_for_memory(self, executor: Executor, task: Task) -> None:
        failure = self.failed(executor, task, "is_killed")
        assert (failure.error, failure.signal) == ("SIGKILL", signal.SIGKILL)
        assert "memory" in failure.message

    def test_what_libraries_do_at_exit_is_done(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        assert self.done(executor, task, "tidies_up", parameters={"mark": str(tmp_path / "mark")}).ok
        assert (tmp_path / "mark").exists()

    def test_hanging_at_exit_costs_seconds_and_not_the_answer(self, executor: Executor, task: Task) -> None:
        assert self.value(self.done(executor, task, "hangs_at_exit")) == 1

    def test_many_talkative_tasks_at_once(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        """More is sent, and more is answered, than fits between two processes that do not listen meanwhile."""
        count = 150
        for number in range(count):
            parameters = {"lines": 100, "more": "x" * 2000}
            output = str(tmp_path / f"o{number}")
            executor.submit(
                msgspec.structs.replace(task, id=f"t{number}", function="talks", parameters=parameters, output=output)
            )
        came: list[TaskResult] = []
        while len(came) < count and (more := executor.wait(60)):
            came += more
        assert {each.id for each in came if each.ok} == {f"t{number}" for number in range(count)}

    def test_a_task_ends_only_what_it_started_itself(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        mark, go = tmp_path / "pid", tmp_path / "go"
        parameters = {"mark": str(mark), "go": str(go)}
        executor.submit(msgspec.structs.replace(task, function="watches_its_daemon", parameters=parameters))
        pid = self.appears(mark)
        other = msgspec.structs.replace(task, id="other", output=str(tmp_path / "other"))
        assert self.value(self.done(executor, other, "answer")) == 42
        go.touch()
        (result,) = executor.wait(60)
        assert self.value(result) == "alive"
        assert gone(pid)

    def test_a_cancelled_task_ends_with_all_it_started(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        mark = tmp_path / "pid"
        executor.submit(msgspec.structs.replace(task, function="leaves_and_sleeps", parameters={"mark": str(mark)}))
        pid = self.appears(mark)
        executor.cancel("t")
        (result,) = executor.wait(30)
        assert result.failure is not None
        assert result.failure.kind == "cancelled"
        assert gone(pid)

    def test_nothing_is_left_running_after_a_task(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        pid = self.value(self.done(executor, task, "leaves_a_child", parameters={"mark": str(tmp_path / "pid")}))
        assert gone(pid)

    def test_closing_ends_what_is_under_way(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        mark = tmp_path / "pid"
        executor.submit(msgspec.structs.replace(task, function="sleeps", parameters={"mark": str(mark)}))
        pid = self.appears(mark)
        executor.close()
        assert gone(pid)

    def test_killing_control_ends_what_is_under_way(
        self, executor: Executor, task: Task, root: Path, tmp_path: Path
    ) -> None:
        executor.prepare(task.environment, lambda _line: None)
        mark = tmp_path / "pid"
        sent = msgspec.structs.replace(task, function="leaves_and_sleeps", parameters={"mark": str(mark)})
        words = [sys.executable, "-c", _CONTROL, self.adapter, str(root), msgspec.json.encode(sent).decode()]
        control = subprocess.Popen(words)
        pid = self.appears(mark)
        control.kill()
        control.wait()
        assert gone(pid)

    def test_the_surroundings_do_not_change_from_run_to_run(self, executor: Executor, task: Task, root: Path) -> None:
        first = self.value(self.done(executor, task, "surroundings", seed=7))
        assert first == self.value(self.done(executor, task, "surroundings", seed=7))
        assert first["seed"] != self.value(self.done(executor, task, "surroundings", seed=8))["seed"]
        assert first["environ"] == {
            "PYTHONHASHSEED": "0", "TF_DETERMINISTIC_OPS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        }  # fmt: skip
        assert os.path.samefile(first["cwd"], root)

    def test_no_library_tells_its_maker_of_its_use(self, executor: Executor, task: Task) -> None:
        assert self.value(self.done(executor, task, "surroundings"))["all"].items() >= SILENT.items()

    def test_the_product_itself_is_not_in_the_sandbox(self, executor: Executor, task: Task) -> None:
        assert not self.value(self.done(executor, task, "surroundings"))["inside"]

    def test_an_edit_within_the_same_second_is_seen(self, executor: Executor, task: Task, root: Path) -> None:
        for number in range(3):
            (root / "quick.py").write_text(f"def answer():\n    return {number}\n")
            os.utime(root / "quick.py", (1, 1))
            assert self.value(self.done(executor, task, "answer", module="quick")) == number

    def test_a_task_that_was_expected_gives_the_same(self, executor: Executor, task: Task) -> None:
        cold = self.value(self.done(executor, task, "surroundings", seed=7))
        soon = msgspec.structs.replace(task, output="", function="surroundings", seed=7)
        executor.prepare(task.environment, lambda _line: None, soon)
        assert self.value(self.done(executor, task, "surroundings", seed=7)) == cold

    def test_an_expected_task_that_never_comes_is_forgotten(self, executor: Executor, task: Task) -> None:
        executor.prepare(task.environment, lambda _line: None, msgspec.structs.replace(task, id="never"))
        assert self.value(self.done(executor, task, "answer")) == 42
        assert executor.wait(0.1) == []
        executor.close()

    def test_a_hint_makes_nothing_and_raises_nothing(self, executor: Executor, task: Task) -> None:
        heard: list[str] = []
        nowhere = msgspec.structs.replace(task.environment, folder="nowhere", digest="not-made")
        executor.prepare(nowhere, heard.append, hint=True)
        assert not heard
        executor.prepare(task.environment, heard.append)
        executor.prepare(task.environment, heard.append, hint=True)
        assert self.value(self.done(executor, task, "answer")) == 42

    def test_environments_do_not_mix(self, executor: Executor, task: Task, root: Path, tmp_path: Path) -> None:
        """Two versions of one package, side by side."""
        (root / "versions.py").write_text(
            "def version():\n    import iniconfig\n    from importlib.metadata import version\n    return version('iniconfig')\n"
        )
        versions: dict[str, str] = {}
        for wanted in ("2.0.0", "2.1.0"):
            environment = project(
                root, dependencies=[f"iniconfig=={wanted}"], name=f"v{wanted}", sub=f"environments/{wanted}"
            )
            sent = msgspec.structs.replace(
                task,
                id=wanted,
                environment=environment,
                module="versions",
                function="version",
                output=str(tmp_path / wanted),
            )
            executor.submit(sent)
        while len(versions) < 2:
            versions |= {each.id: self.value(each) for each in executor.wait(120)}
        assert versions == {"2.0.0": "2.0.0", "2.1.0": "2.1.0"}

    def appears(self, mark: Path) -> int:
        """The number in a file that a task writes."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if mark.exists() and (text := mark.read_text()):
                return int(text)
            time.sleep(0.01)
        pytest.fail("the task did not start")
