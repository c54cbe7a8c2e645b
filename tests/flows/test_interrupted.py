"""Kills, ctrl-C, full disks and runs side by side: everything stays readable, and the next run goes on from there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Light

PAYOFF = str(Path(sys.executable).with_name("payoff"))
LINGERS = "    import time; open('waiting', 'w').close(); time.sleep(60)\n"


def start(light: Light, *words: str) -> subprocess.Popen[str]:
    """A run in a terminal of its own."""
    return subprocess.Popen(
        [PAYOFF, "run", *words],
        cwd=light.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(light: Light) -> dict[str, set[str]]:
    """The stages that each run wrote down as finished."""
    found: dict[str, set[str]] = {}
    with contextlib.closing(sqlite3.connect(light.root / ".payoff/ledger.db")) as ledger:
        for run, subject in ledger.execute("select run, subject from journal where event = 'step'"):
            found.setdefault(run, set()).add(subject)
    return found


def nothing_left(light: Light) -> None:
    """What a run started ends with it: a sandbox sees that its run is gone and ends too."""
    until = time.monotonic() + 60
    while light.left_running() and time.monotonic() < until:
        time.sleep(0.05)
    assert light.left_running() == []


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def linger(light: Light) -> None:
    """Make the model's step wait, and say so by a file."""
    light.change(
        "pipeline.py",
        "    assert rates",
        f"{LINGERS}    assert rates",
    )


def is_waiting(light: Light) -> bool:
    """The model's step waits, and the table before it is stored: a step may begin on a table while that is still being stored."""
    newest = light.runs()[0]["run"] if any(light.root.rglob("waiting")) else ""
    return "step:rates" in finished(light).get(newest, set())


# -- kills


@pytest.mark.parametrize("moment", [pytest.param(0.08, marks=pytest.mark.thorough), 0.25, pytest.param(0.42, marks=pytest.mark.thorough), 0.58, pytest.param(0.75, marks=pytest.mark.thorough), 0.92])
def test_a_kill_at_any_moment_loses_nothing(lights: Callable[[str], Light], moment: float) -> None:
    whole, light = lights("ganz"), lights("gekillt")
    for each in (whole, light):
        each.more_customers()
    began = time.monotonic()
    wanted = whole.run()
    takes = time.monotonic() - began
    killed = start(light)
    with contextlib.suppress(subprocess.TimeoutExpired):
        killed.wait(timeout=takes * moment)
    killed.kill()
    killed.communicate()
    nothing_left(light)

    light.is_whole()
    known = finished(light)
    stopped = [each["run"] for each in light.runs() if each["status"] == "unfinished"]
    answer = light.run()
    assert answer["status"] == wanted["status"] == "passed"
    assert answer["per_year"] == wanted["per_year"]
    assert answer["holdout"] == wanted["holdout"]
    assert answer["tables"]["examples"]["id"] == wanted["tables"]["examples"]["id"]
    states = {f"step:{each['name']}": each["state"] for each in answer["steps"]}
    for run in stopped:
        done = known.get(run, set()) & states.keys()
        assert {states[name] for name in done} <= {"reused"}, (done, states)
    light.is_whole()
    assert light.run()["unchanged"] is True


def test_a_kill_in_the_middle_of_a_step_takes_the_step_along(light: Light) -> None:
    light.more_customers()
    linger(light)
    killed = start(light)
    wait_for(lambda: is_waiting(light), "the model's step began")
    killed.kill()
    killed.communicate()
    nothing_left(light)
    assert light.runs()[0]["status"] == "unfinished"
    assert "no record" in light.payoff("show", light.runs()[0]["run"], code=2)
    light.change("pipeline.py", LINGERS, "")
    answer = light.run()
    assert {each["name"]: each["state"] for each in answer["steps"]} == {
        "examples": "reused", "rates": "reused", "model": "ran",
    }  # fmt: skip


# -- ctrl-C


@pytest.mark.parametrize(
    ("number", "whole_group"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)]
)
def test_ctrl_c_ends_everything_and_says_so(light: Light, number: signal.Signals, whole_group: bool) -> None:
    light.more_customers()
    linger(light)
    running = start(light, "--json")
    wait_for(lambda: is_waiting(light), "the model's step began")
    (os.killpg if whole_group else os.kill)(running.pid, number)
    out, err = running.communicate(timeout=100)
    assert running.returncode == 130
    assert "nothing finished is lost" in err
    assert "Traceback" not in out + err
    assert json.loads(out)["errors"][0]["code"] == "PO-U008"
    nothing_left(light)

    newest = light.runs()[0]
    assert newest["status"] == "failed", "a run without a verdict has not passed"
    assert "stopped" in newest["reason"]
    shown = json.loads(light.payoff("show", "--json"))
    assert [error["code"] for error in shown["errors"]] == ["PO-R010"]
    assert shown["per_year"] is None
    light.is_whole()
    light.change("pipeline.py", LINGERS, "")
    answer = light.run()
    assert answer["status"] == "passed"
    assert {each["name"]: each["state"] for each in answer["steps"]} == {
        "examples": "reused", "rates": "reused", "model": "ran",
    }  # fmt: skip


# -- side by side


def test_runs_side_by_side_both_end_and_can_be_read(light: Light) -> None:
    light.more_customers()
    several = [start(light, "--json", "-p", f"slope=0.3{number}") for number in (1, 2, 1)]
    answers = []
    for each in several:
        out, err = each.communicate(timeout=120)
        assert each.returncode == 0, out + err
        answers.append(json.loads(out))
    assert len({answer["run"] for answer in answers}) == 3
    assert {answer["status"] for answer in answers} == {"passed"}
    assert answers[0]["per_year"]["model"]["mean"] == answers[2]["per_year"]["model"]["mean"]
    assert {answer["tables"]["examples"]["id"] for answer in answers} == {answers[0]["tables"]["examples"]["id"]}
    assert max(answer["holdout"]["looks"] for answer in answers) == 2, "the same model twice is one look"
    assert {answer["run"] for answer in answers} < {each["run"] for each in light.runs()}
    light.is_whole()
    nothing_left(light)


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "small disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk may be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_costs_nothing_but_the_run(light: Light, small_disk: Path) -> None:
    ours = light.root / ".payoff"
    shutil.copytree(ours, small_disk / "ours", symlinks=True)
    shutil.rmtree(ours, ignore_errors=True)
    ours.symlink_to(small_disk / "ours")
    for left in (400, 150, 0):  # KB: enough for the tables that are read, for the ledger, for nothing
        light.more_customers(9001 + left)
        filler = small_disk / "filler"
        room = os.statvfs(small_disk)
        filler.write_bytes(b"\0" * max(0, room.f_bavail * room.f_frsize - left * 1024))
        said = light.payoff("run", code=4)
        assert any(code in said for code in ("PO-E005", "PO-L004", "PO-R901", "PO-U004")), said
        assert "disk is full" in said
        assert "Try: " in said
        assert "Traceback" not in said
        filler.unlink()
        light.is_whole()
    answer = light.run()
    assert answer["status"] == "passed"
    assert answer["holdout"]["rows"] > light.first["holdout"]["rows"]
    light.mend()
    assert light.run()["per_year"]["model"]["mean"] == pytest.approx(light.first["per_year"]["model"]["mean"])
    assert not [each for each in (small_disk / "ours/store/scratch").rglob("*") if each.is_file()], (
        "what was begun is cleared away"
    )
