"""Git's remotes: what they do not say, and how long they may take."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from payoff.base.errors import OutsideError
from payoff.project.releasing import command, commits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose branch follows one elsewhere, by SSH."""
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--allow-empty", "--message", "x"),
        ("remote", "add", "origin", "ssh://example.org/x.git"),
        ("update-ref", "refs/remotes/origin/main", "HEAD"),
        ("branch", "--quiet", "--set-upstream-to=origin/main"),
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_a_remote_that_says_nothing(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for without end, and what git started to reach it does not stay."""
    ssh = clone / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {clone}/pid\nexec sleep 600\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(ssh))
    monkeypatch.setattr(command, "REMOTE", 1.0)
    with pytest.raises(OutsideError, match="did not answer within 1 seconds") as told:
        commits.forward(clone)
    assert told.value.code == "PO-A147"
    until = time.monotonic() + 10
    status = f"/proc/{(clone / 'pid').read_text().strip()}/stat"
    while time.monotonic() < until and _lives(status):
        time.sleep(0.05)
    assert not _lives(status)


def test_a_remote_that_is_not_there(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH", "/bin/false")
    with pytest.raises(OutsideError, match="git fetch failed: fatal: Could not read from remote repository"):
        commits.forward(clone)


def _lives(status: str) -> bool:
    try:
        with open(status, encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
