"""The fork server: what it leaves behind (nothing), what it keeps of output, what a broken disk costs."""

from __future__ import annotations

import ast
import os
import pickle
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import payoff

import pytest

if TYPE_CHECKING:
    from conftest import Worker

SLEEPER = """
import os, subprocess, sys, time

def step(mark=None):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    with open("pids.part", "w") as stream:
        stream.write(f"{os.getpid()} {child.pid}")
    os.rename("pids.part", "pids")
    time.sleep(600)
"""


def pids(worker: Worker) -> list[int]:
    mark = worker.root / "pids"
    assert worker.until(mark.exists)
    return [int(word) for word in mark.read_text().split()]


def start_sleeper(worker: Worker) -> list[int]:
    (worker.root / "pipeline.py").write_text(SLEEPER)
    worker.send(worker.task())
    return pids(worker)


def test_the_worker_needs_the_standard_library_only() -> None:
    """What a module imports when it is loaded; what only a form needs is imported where the form is met."""
    for file in (Path(payoff.__file__).parent / "worker").glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))
        for node in tree.body:
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names, file.name


def test_the_end_of_its_input_ends_everything(worker: Worker) -> None:
    started = start_sleeper(worker)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(20) == 0
    assert not [pid for pid in started if worker.running(pid)]


def test_killing_the_server_ends_its_tasks(worker: Worker) -> None:
    """What a task itself started in a session of its own is out of reach then."""
    task, child = start_sleeper(worker)
    worker.process.kill()
    assert worker.until(lambda: not worker.running(task))
    os.kill(child, signal.SIGKILL)


def test_a_cancelled_task_is_gone_when_it_is_answered(worker: Worker) -> None:
    started = start_sleeper(worker)
    worker.send({"cancel": "t"})
    assert worker.answer()["cancelled"]
    assert not [pid for pid in started if worker.running(pid)]
    assert len(worker.children()) == ONE_WAITS


def test_cancelling_what_is_not_there_is_nothing(worker: Worker) -> None:
    worker.send({"cancel": "nobody"})
    assert worker.result("def step():\n    return 1\n")["ok"]


def test_a_pool_of_processes_is_gone_with_its_task(worker: Worker) -> None:
    source = """
import multiprocessing, os, time
def sleep(mark):
    time.sleep(600)
def step():
    for _ in range(3):
        multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True).start()
    os._exit(0)
"""
    (worker.root / "pipeline.py").write_text(source)
    worker.send(worker.task())
    assert worker.answer()["exit"] == 0
    assert len(worker.children()) == ONE_WAITS


def test_a_folder_that_vanished_costs_one_task(worker: Worker) -> None:
    """Neither the value, nor the result, nor the log can be written: as on a full disk."""
    (worker.root / "pipeline.py").write_text("def step():\n    print('said')\n    return 1\n")
    worker.send(worker.task(output=str(worker.root / "nowhere" / "out")))
    answer = worker.answer()
    assert (answer["exit"], answer["result"], answer["log"], answer["tail"]) == (74, {}, "", "said\n")
    assert worker.result()["ok"]


def test_output_without_end_is_not_kept_in_memory(worker: Worker) -> None:
    source = "def step():\n    line = 'x' * 1023 + chr(10)\n    while True:\n        print(line * 64, end='')\n"
    (worker.root / "pipeline.py").write_text(source)
    worker.send(worker.task())
    status = Path(f"/proc/{worker.process.pid}/io")
    assert worker.until(lambda: int(status.read_text().split()[1]) > 300 << 20, 100), "300 MB were read"
    peak = next(line for line in Path(f"/proc/{worker.process.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) < 60 * 1024
    worker.send({"cancel": "t"})
    answer = worker.answer()
    assert answer["cancelled"]
    assert Path(answer["log"]).stat().st_size < 2 << 20


def test_output_that_is_no_text_is_kept(worker: Worker) -> None:
    (worker.root / "pipeline.py").write_text("import os\ndef step():\n    os.write(1, bytes(range(256)))\n")
    worker.send(worker.task())
    answer = worker.answer()
    assert answer["result"]["ok"]
    assert Path(answer["log"]).read_bytes() == bytes(range(256))


def test_closing_the_standard_streams_is_no_failure(worker: Worker) -> None:
    assert worker.result("import sys\ndef step():\n    sys.stdout.close(); sys.stderr.close(); return 1\n")["ok"]
    assert worker.result("import os\ndef step():\n    os.close(1); os.close(2); return 1\n")["ok"]


def test_a_task_cannot_answer_for_the_server(worker: Worker) -> None:
    """The server's own descriptors are not open in a task."""
    source = """
import os
def step():
    for number in range(3, 64):
        try:
            os.write(number, b'{"id": "t", "result": {"ok": true}}' + bytes([10]))
        except OSError:
            continue
    return sorted(int(each) for each in os.listdir("/proc/self/fd"))
"""
    assert worker.result(source)["kind"] == "object"
    assert len(pickle.loads((worker.root / "out.pickle").read_bytes())) == 4  # 0, 1, 2 and that of the listing


# -- a process that was got ready before its task came

ONE_WAITS = 1  # for whichever task comes next


def ready(worker: Worker, **changes: Any) -> dict[str, Any]:
    task = worker.task(**changes)
    worker.send({"ready": {**task, "inputs": [], "output": ""}})
    return task


def test_a_long_task_is_handed_to_a_process_that_waits(worker: Worker) -> None:
    (worker.root / "pipeline.py").write_text("def step(text):\n    return len(text)\n")
    task = ready(worker)
    worker.send({**task, "parameters": {"text": "x" * 500_000}})
    assert worker.answer()["result"]["ok"]


def test_a_process_that_waits_for_one_is_not_there_for_others(worker: Worker) -> None:
    task = ready(worker, id="later")
    ready(worker, id="later")
    assert worker.until(lambda: len(worker.children()) == ONE_WAITS + 1)
    assert worker.result("def step():\n    return 1\n")["ok"]
    assert len(worker.children()) == ONE_WAITS + 1
    worker.send(task)
    assert worker.answer()["id"] == "later"
    assert len(worker.children()) == ONE_WAITS


@pytest.mark.parametrize("known", [True, False])
def test_a_process_that_died_waiting_is_replaced(worker: Worker, *, known: bool) -> None:
    (worker.root / "pipeline.py").write_text("def step():\n    return 1\n")
    task = ready(worker) if known else worker.task()
    assert worker.until(lambda: len(worker.children()) == ONE_WAITS + known)
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    assert worker.until(lambda: worker.children() == [])
    worker.send(task)
    assert worker.answer()["result"]["ok"]


def test_processes_that_wait_end_with_the_server(worker: Worker) -> None:
    ready(worker)
    assert worker.until(lambda: len(worker.children()) == ONE_WAITS + 1)
    children = worker.children()
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(20) == 0
    assert not [child for child in children if worker.running(child)]


def test_a_process_that_waited_has_the_limits_and_seed_of_its_task(worker: Worker) -> None:
    source = """
import os, random, resource
def step():
    return resource.getrlimit(resource.RLIMIT_AS)[0], os.environ.get("OMP_NUM_THREADS"), random.random()
"""
    (worker.root / "pipeline.py").write_text(source)

    def made(**changes: Any) -> Any:
        assert worker.until(lambda: len(worker.children()) == ONE_WAITS)
        assert worker.result(**changes)["ok"]
        return pickle.loads((worker.root / "out.pickle").read_bytes())

    limited = {"memory_bytes": 1 << 33}
    assert made(environment=limited, threads=3, seed=7) == (1 << 33, "3", random.Random(7).random())
    assert made(seed=8)[1:] == (None, random.Random(8).random())
