"""The contract suite of trackers.

Inherit it in a test file and name the adapter; pytest does the rest. The suite asks for what a tracker answers; reading
back with the tool's own client is the adapter's own test.

    class TestMyTracker(TrackerSuite):
        adapter = "payoff.trackers:mine"
        options = {"uri": "..."}
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.clock import stopwatch
from payoff.testing.samples import sample_record
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from payoff.ports.tracker import Tracker

PATIENCE = 140.0  # seconds; two waits fit into a test's time. On a machine that is full of work what is tracked gives way to all else
_KILLED_AFTER_HANDING_OVER = """
import os, pathlib, signal, sys
from payoff.testing.tracker import connect
from payoff.testing.samples import sample_record
tracker = connect(sys.argv[1], pathlib.Path(sys.argv[2]), {})
tracker.start()
tracker.track(sample_record(sys.argv[3]), {})
os.kill(os.getpid(), signal.SIGKILL)
"""


def connect(adapter: str, root: Path, options: dict[str, Any]) -> Tracker:
    """The tracker that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    tracker: Tracker = module.connect(root, module.Options(**options))
    return tracker


class TrackerSuite:
    """What every tracker does."""

    adapter: ClassVar[str] = ""
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def root(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """One project for the whole suite: making a store takes seconds."""
        return tmp_path_factory.mktemp("tracked projéct")

    def open(self, root: Path) -> Tracker:
        """A tracker of the project in `root`."""
        return connect(self.adapter, root, self.options)

    def test_a_run_is_tracked_once(self, root: Path) -> None:
        run = "20261123-144105-aaaaaa"
        places = []
        for _ in range(2):
            tracker = self.open(root)
            tracker.track(sample_record(run), {})
            places.append(tracker.finish(PATIENCE)[run])
        assert places[0] == places[1]
        assert places[0]["run_id"]
        assert places[0]["uri"] == self.open(root).address()["uri"]

    def test_several_runs_in_one_go(self, root: Path) -> None:
        runs = [f"20261123-144106-{number:06d}" for number in range(3)]
        tracker = self.open(root)
        for run in runs:
            tracker.track(sample_record(run), {})
        answers = tracker.finish(PATIENCE)
        assert list(answers) == runs
        assert len({answers[run]["run_id"] for run in runs}) == 3

    def test_handing_over_does_not_wait(self, root: Path) -> None:
        tracker, began = self.open(root), stopwatch()
        tracker.start()
        tracker.track(sample_record("20261123-144107-aaaaaa", parameters={"model": {"long": "x" * 500_000}}), {})
        assert tracker.finish(0) == {}
        assert stopwatch() - began < 10  # a process that imports nothing yet must have begun to read

    def test_what_was_not_finished_in_time_is_finished_later(self, root: Path) -> None:
        run = "20261123-144108-aaaaaa"
        tracker = self.open(root)
        tracker.track(sample_record(run), {})
        tracker.finish(0)
        again = self.open(root)
        again.track(sample_record(run), {})
        assert again.finish(PATIENCE)[run]["run_id"]

    def test_nothing_asked_nothing_answered(self, root: Path) -> None:
        tracker = self.open(root)
        assert tracker.finish(0) == {}
        tracker.start()
        assert tracker.finish(0) == {}

    def test_a_killed_run_is_caught_up(self, root: Path) -> None:
        run = "20261123-144109-aaaaaa"
        command = [sys.executable, "-c", _KILLED_AFTER_HANDING_OVER, self.adapter, str(root), run]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        tracker = self.open(root)
        tracker.track(sample_record(run), {})
        assert tracker.finish(PATIENCE)[run]["run_id"]

    def test_two_projects_processes_at_once_on_a_new_store(self, tmp_path: Path) -> None:
        trackers = [self.open(tmp_path) for _ in range(2)]
        for number, tracker in enumerate(trackers):
            tracker.start()
            tracker.track(sample_record(f"20261123-144110-{number:06d}"), {})
            tracker.track(sample_record("20261123-144111-shared"), {})
        answers = [tracker.finish(PATIENCE) for tracker in trackers]
        assert [len([a for a in each.values() if "run_id" in a]) for each in answers] == [2, 2], answers
        assert answers[0]["20261123-144111-shared"] == answers[1]["20261123-144111-shared"]

    def test_it_does_not_run_code_of_the_project(self, tmp_path: Path) -> None:
        for name in ("mlflow.py", "payoff.py", "json.py", "sitecustomize.py"):
            Path(tmp_path, name).write_text("import pathlib; pathlib.Path(__file__).with_suffix('.was-run').touch()")
        before = os.getcwd()
        os.chdir(tmp_path)
        try:
            tracker = self.open(tmp_path)
            tracker.start()
            tracker.track(sample_record("20261123-144112-aaaaaa"), {})
            assert tracker.finish(PATIENCE)["20261123-144112-aaaaaa"]["run_id"]
        finally:
            os.chdir(before)
        assert not list(tmp_path.glob("*.was-run"))
