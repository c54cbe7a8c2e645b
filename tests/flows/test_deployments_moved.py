"""A deployment that is to be of another kind than it was."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from payoff.base import processes
from payoff.ports.releasing.machine import owner

CONTAINER = """kind = "container"
arguments = ["--runtime", "runc"]
run = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
network = "host"
drain = 2
"""


def podman(*words: str) -> str:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("podman") is None or shutil.which("runc") is None, reason="podman and runc are not installed")
def test_what_the_kind_before_runs_is_ended(released: Any) -> None:
    """And what it runs is one, whichever it was: nothing answers with an old model at an old address."""
    config = released.root / "payoff.toml"
    text = config.read_text()
    here = text.partition("[deployments.dev]\n")[2].partition("[")[0]
    released.answer("promote", "1", "dev")
    released.answer("deploy", "dev")
    (process,) = (released.root / ".payoff/deployments").glob("*.process")
    pid = int(process.read_text().partition(":")[2].partition(",")[0])
    assert processes.since(pid)
    ours = ("--filter", f"label=dev.payoff.root={released.root}")
    try:
        config.write_text(text.replace(here, CONTAINER, 1))
        released.commit()
        answer = released.answer("deploy", "dev")
        assert answer["did"] == "started"
        assert processes.since(pid) is None
        assert len(podman("ps", "--all", "--quiet", *ours).split()) == 1
        config.write_text(text)
        released.commit()
        released.answer("deploy", "dev")
        assert podman("ps", "--all", "--quiet", *ours).split() == []
    finally:
        for each in podman("ps", "--all", "--quiet", *ours).split():
            podman("rm", "--force", "--time", "1", each)
        subprocess.run(["podman", "rmi", "--force", f"localhost/payoff/{owner(released.root)}/release-1:latest"], capture_output=True, check=False)
