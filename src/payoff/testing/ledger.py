"""The contract suite of ledgers.

Inherit it in a test file and name the adapter; pytest does the rest:

    class TestMyLedger(LedgerSuite):
        adapter = "payoff.ledgers:mine"
        options = {"address": "..."}      # where `root` alone is not enough
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from payoff.base.errors import UserError
from payoff.testing.samples import sample_outcome, sample_record
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.ledger import Ledger

PROJECT = "p" * 8
_WRITER = """
import sys, pathlib
from payoff.testing.ledger import connect, write_runs
write_runs(connect(sys.argv[1], pathlib.Path(sys.argv[2]), {}), sys.argv[3], int(sys.argv[4]))
"""


def connect(adapter: str, root: Path, options: dict[str, Any]) -> Ledger:
    """The ledger that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    ledger: Ledger = module.connect(root, module.Options(**options))
    return ledger


def write_runs(ledger: Ledger, writer: str, runs: int) -> None:
    """Whole runs one after another: started, a step, a look, the record. Says `RUN` after each is recorded."""
    for number in range(runs):
        run = f"20261123-144105-{writer}{number:05d}"
        ledger.journal(PROJECT, run, "started", {})
        outcome = sample_outcome("model", f"key-{run}", run)
        ledger.journal(PROJECT, run, "step", msgspec.to_builtins(outcome))
        ledger.journal(PROJECT, run, "look", {"subject": "holdout", "model": f"m-{run}"})
        ledger.append(sample_record(run))
        sys.stdout.write(run + "\n")
        sys.stdout.flush()


class LedgerSuite:
    """What every ledger does."""

    adapter: ClassVar[str] = ""
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Ledger:
        """A ledger with nothing in it."""
        return self.open(tmp_path)

    def open(self, root: Path) -> Ledger:
        """Another connection to the ledger of the project in `root`."""
        return connect(self.adapter, root, self.options)

    def spawn(self, root: Path, writer: str, runs: int) -> subprocess.Popen[str]:
        """A process that writes runs."""
        command = [sys.executable, "-c", _WRITER, self.adapter, str(root), writer, str(runs)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_an_empty_ledger_knows_nothing(self, ledger: Ledger) -> None:
        state = ledger.state(PROJECT)
        assert (state.latest, state.last_run) == ({}, None)
        assert ledger.recall(["a"]) == {}
        assert ledger.read(PROJECT).summaries == ()

    def test_a_record_comes_back_equal(self, ledger: Ledger, tmp_path: Path) -> None:
        record = sample_record("20261123-144105-aaaaaa")
        entry = ledger.append(record)
        again = self.open(tmp_path).read(PROJECT, record.run)
        assert again.entries == (entry,)
        assert again.entries[0].record == record
        assert ledger.state(PROJECT).last_run == record.run

    def test_records_are_chained(self, ledger: Ledger) -> None:
        first, second = (ledger.append(sample_record(f"20261123-144105-{name}")) for name in ("aaaaaa", "bbbbbb"))
        assert (first.number, second.number) == (1, 2)
        assert second.previous == first.hash != second.hash

    def test_appending_twice_changes_nothing(self, ledger: Ledger) -> None:
        record = sample_record("20261123-144105-aaaaaa")
        first = ledger.append(record)
        assert ledger.append(msgspec.structs.replace(record, status="failed")) == first
        assert len(ledger.read(PROJECT).summaries) == 1

    def test_numbers_that_are_none_survive(self, ledger: Ledger) -> None:
        entry = ledger.append(
            sample_record("20261123-144105-aaaaaa", metrics={"a": float("nan"), "b": float("-inf"), "c": 1.5})
        )
        metrics = entry.record.metrics
        assert metrics["a"] != metrics["a"]
        assert (metrics["b"], metrics["c"]) == (float("-inf"), 1.5)

    def test_finished_steps_are_recalled_by_key(self, ledger: Ledger, tmp_path: Path) -> None:
        for run in ("r1", "r2"):
            for step in ("a", "b"):
                ledger.journal(PROJECT, run, "step", msgspec.to_builtins(sample_outcome(step, f"{step}-{run}", run)))
        other = self.open(tmp_path)
        found = other.recall(["a-r1", "b-r2", "nobody"])
        assert {key: outcome.run for key, outcome in found.items()} == {"a-r1": "r1", "b-r2": "r2"}
        assert found["a-r1"] == sample_outcome("a", "a-r1", "r1")
        assert {step: outcome.key for step, outcome in other.state(PROJECT).latest.items()} == {
            "a": "a-r2",
            "b": "b-r2",
        }
        assert other.state("someone else").latest == {}

    def test_many_keys_at_once(self, ledger: Ledger) -> None:
        ledger.journal(PROJECT, "r", "step", msgspec.to_builtins(sample_outcome("a", "key-1500", "r")))
        assert list(ledger.recall(f"key-{number}" for number in range(3000))) == ["key-1500"]

    def test_looks_count_once_per_model(self, ledger: Ledger) -> None:
        def look(run: str, model: str, subject: str = "h") -> int:
            return ledger.journal(PROJECT, run, "look", {"subject": subject, "model": model})

        assert [look("r1", "m1"), look("r1", "m1"), look("r1", "m2"), look("r2", "m1"), look("r2", "m3")] == [
            1,
            1,
            2,
            2,
            3,
        ]
        assert look("r1", "m1", "another holdout") == 1
        assert ledger.state(PROJECT).looks == {"h": 3, "another holdout": 1}
        assert ledger.journal("another project", "r1", "look", {"subject": "h", "model": "m1"}) == 1

    def test_unfinished_runs_are_shown(self, ledger: Ledger) -> None:
        ledger.append(sample_record("20261123-144105-aaaaaa"))
        ledger.journal(PROJECT, "29990101-000000-bbbbbb", "started", {"at": "x"})
        statuses = {summary.run: summary.status for summary in ledger.read(PROJECT).summaries}
        assert statuses == {"20261123-144105-aaaaaa": "passed", "29990101-000000-bbbbbb": "unfinished"}
        alone = ledger.read(PROJECT, "2999")
        assert alone.entries == ()
        assert alone.summaries[0].status == "unfinished"
        assert alone.events == (("started", {"at": "x"}),)

    def test_summaries_say_what_became_of_a_run(self, ledger: Ledger) -> None:
        refused = sample_record("20261123-144105-aaaaaa", status="refused")
        verdict = msgspec.structs.replace(refused.verdicts[0], passed=False, reason="not worth it")
        ledger.append(msgspec.structs.replace(refused, verdicts=(verdict,)))
        ledger.journal(PROJECT, refused.run, "tracked", {"subject": refused.run, "uri": "u", "run_id": "i"})
        ledger.append(sample_record("20261123-144106-bbbbbb", started="2026-11-23T14:41:06.000Z"))
        newest, oldest = ledger.read(PROJECT).summaries
        assert (oldest.status, oldest.reason, oldest.tracked) == ("refused", "not worth it", True)
        assert (newest.status, newest.tracked, newest.currency) == ("passed", False, "EUR")
        assert newest.gain is not None
        assert newest.gain["low"] == 37_000.0
        assert [summary.run for summary in ledger.read(PROJECT, limit=1).summaries] == [newest.run]

    def test_a_run_is_found_by_prefix_and_latest(self, ledger: Ledger) -> None:
        for name in ("aaaaaa", "abbbbb"):
            ledger.append(sample_record(f"20261123-144105-{name}"))
        assert ledger.read(PROJECT, "20261123-144105-aa").entries[0].record.run.endswith("aaaaaa")
        assert ledger.read(PROJECT, "latest").entries[0].record.run.endswith("abbbbb")
        assert ledger.read(PROJECT, "latest~0").entries[0].record.run.endswith("abbbbb")
        assert ledger.read(PROJECT, "latest~1").entries[0].record.run.endswith("aaaaaa")
        with pytest.raises(UserError, match="latest~2"):
            ledger.read(PROJECT, "latest~2")
        with pytest.raises(UserError, match="20261123-144105-abbbbb") as ambiguous:
            ledger.read(PROJECT, "20261123-144105-a")
        assert "20261123-144105-aaaaaa" in ambiguous.value.what
        with pytest.raises(UserError) as unknown:
            ledger.read(PROJECT, "20261123-144105-abbbbc")
        assert "nearest: 20261123-144105-abbbbb" in unknown.value.expected
        with pytest.raises(UserError):
            ledger.read("another project", "latest")

    def test_eight_processes_write_at_once(self, tmp_path: Path) -> None:
        writers = [self.spawn(tmp_path, f"w{number}-", 5) for number in range(8)]
        for process in writers:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
        ledger = self.open(tmp_path)
        summaries = ledger.read(PROJECT, limit=100).summaries
        assert len({summary.run for summary in summaries}) == 40
        numbers = sorted(ledger.read(PROJECT, summary.run).entries[0].number for summary in summaries)
        assert numbers == list(range(1, 41))
        assert ledger.journal(PROJECT, "r", "look", {"subject": "holdout", "model": "m"}) == 41

    @pytest.mark.parametrize("wait", [0.0, 0.013, 0.05])
    def test_a_kill_loses_nothing_that_was_answered(self, tmp_path: Path, wait: float) -> None:
        process = self.spawn(tmp_path, "k", 100_000)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        answered = [first, *process.communicate()[0].splitlines()]
        ledger = self.open(tmp_path)
        for run in answered:
            assert ledger.read(PROJECT, run.strip()).entries[0].record.status == "passed"
        ledger.append(sample_record("20261123-144105-zzzzzz"))
        assert ledger.read(PROJECT, "latest").entries[0].number >= len(answered) + 1
