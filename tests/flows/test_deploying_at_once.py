"""Several `payoff deploy` at once on one machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PAYOFF = str(Path(sys.executable).with_name("payoff"))


def at_once(released: Any, *names: str) -> list[dict[str, Any]]:
    words = [[PAYOFF, "deploy", each, "--json"] for each in names]
    running = [subprocess.Popen(each, cwd=released.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in words]
    said = [process.communicate(timeout=240) + (process.returncode,) for process in running]
    assert all(code == 0 for *_, code in said), said
    return [json.loads(out) for out, *_ in said]


def test_of_two_one_starts_and_signs_and_the_other_finds_it_done(released: Any) -> None:
    released.answer("promote", "1", "dev")
    answers = at_once(released, "dev", "dev")
    assert sorted(each["did"] for each in answers) == ["nothing", "started"]
    assert all(each["verified"] for each in answers), [each["unsigned"] for each in answers]
    assert len((released.root / ".payoff/deployments/dev.jsonl").read_text().splitlines()) == 1
    assert released.git("log", "--format=%s").count("Release 1 runs in dev") == 1


def test_two_deployments_are_both_signed(released: Any) -> None:
    """Each commits on top of what the other has committed meanwhile."""
    released.to("dev", 1)
    released.answer("promote", "1", "test")
    released.answer("promote", "2", "dev")
    answers = at_once(released, "dev", "test")
    assert all(each["verified"] for each in answers), [each["unsigned"] for each in answers]
    assert released.git("status", "--porcelain") == ""


def test_what_a_killed_deploy_has_done_is_said_by_the_next(released: Any) -> None:
    """It had replaced the release, and had no time to write that down."""
    released.to("dev", 1)
    log = released.root / ".payoff/deployments/dev.jsonl"
    before = log.read_text()
    released.answer("promote", "2", "dev")
    released.answer("deploy", "dev")
    log.write_text(before)
    assert released.answer("deploy", "dev")["did"] == "replaced"
    assert [json.loads(line)["release"] for line in log.read_text().splitlines()] == [1, 2]
    log.unlink()
    assert [released.answer("deploy", "dev")["did"] for _ in "12"] == ["nothing", "nothing"]
    assert len(log.read_text().splitlines()) == 1
