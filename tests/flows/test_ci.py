"""The CI that `payoff init` writes: its files are what the hosts take, and what they run says what a change does to the money."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BIN = str(Path(sys.executable).parent)
SLOPE = "return Fitted(slope)"


def git(light: Any, *words: str) -> str:
    made = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    return subprocess.run(["git", *made, *words], cwd=light.root, check=True, capture_output=True, text=True).stdout.strip()


def judge(light: Any, *words: str, code: int) -> str:
    """What CI runs, as it runs it; answers the comment."""
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "ci/payoff.sh", *words], cwd=light.root, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    file = light.root / "payoff-comment.md"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def commit(light: Any, name: str, old: str, new: str) -> None:
    light.change(name, old, new)
    git(light, "commit", "--quiet", "--all", "--message", "a change")


@pytest.fixture
def clean(light: Any) -> Any:
    git(light, "add", "--all", ".")
    git(light, "commit", "--quiet", "--allow-empty", "--message", "all there is")
    return light


@pytest.mark.parametrize(("file", "kind"), [(".github/workflows/payoff.yml", "github-workflows"), (".gitlab-ci.yml", "gitlab-ci")])
def test_the_hosts_take_the_files(light: Any, file: str, kind: str) -> None:
    command = [f"{BIN}/check-jsonschema", "--builtin-schema", f"vendor.{kind}", *(["--data-transform", "gitlab-ci"] if "gitlab" in kind else [])]
    done = subprocess.run([*command, file], cwd=light.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    text = (light.root / file).read_text()
    assert "{{version}}" not in text
    (light.root / file).write_text(text.replace("payoff:\n  image", "payoff:\n  imago: 1\n  image").replace("runs-on", "runs-at"))
    assert subprocess.run([*command, file], cwd=light.root, capture_output=True, check=False).returncode == 1


def test_a_loss_is_red_and_a_gain_is_not(clean: Any) -> None:
    main = git(clean, "rev-parse", "HEAD")
    commit(clean, "pipeline.py", SLOPE, "return Fitted(-0.3)")
    said = judge(clean, main, code=1)
    assert said.splitlines()[2].startswith("## ✗ Payoff: -")
    assert "pipeline.model (changed)" in said
    worse = git(clean, "rev-parse", "HEAD")
    commit(clean, "pipeline.py", "return Fitted(-0.3)", SLOPE)
    said = judge(clean, worse, code=0)
    assert said.splitlines()[2].startswith("## ✓ Payoff: +")
    assert git(clean, "status", "--porcelain", "--untracked-files=no") == ""
    assert git(clean, "symbolic-ref", "--short", "HEAD")  # the branch that was there is there again


def test_a_column_that_leaks_is_red_with_the_reason(clean: Any) -> None:
    """A column that is a secret is given to the model: nothing runs, and its way is shown."""
    clean.change("contracts/customers.yaml", "required: true, classification: personal, logicalT", "required: true, classification: secret, logicalT")
    commit(clean, "sql/examples.sql", "churned, name", "churned")
    main = git(clean, "rev-parse", "HEAD")
    before = len(clean.runs())
    commit(clean, "sql/examples.sql", "churned", "churned, name")
    said = judge(clean, main, code=2)
    assert "payoff check refuses this change" in said
    assert "PO-F004" in said
    assert "customers.name is secret" in said
    assert len(clean.runs()) == before


def test_a_change_that_does_not_run_is_red_with_the_reason(clean: Any) -> None:
    main = git(clean, "rev-parse", "HEAD")
    commit(clean, "pipeline.py", SLOPE, "raise RuntimeError('no more')")
    done = judge(clean, main, code=2)
    assert "does not run" in done
    assert "no more" not in done.splitlines()[2]


def test_changes_that_are_not_committed_are_not_touched(clean: Any) -> None:
    clean.change("pipeline.py", SLOPE, "return Fitted(1.0)")
    assert judge(clean, "HEAD", code=2) == ""
    assert "Fitted(1.0)" in (clean.root / "pipeline.py").read_text()


# -- on merge


def release(released: Any, code: int = 0, **environ: str) -> str:
    """What CI runs after a merge."""
    every = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environ}
    done = subprocess.run(["bash", "ci/release.sh"], cwd=released.root, env=every, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    assert "PRIVATE KEY" not in done.stdout + done.stderr
    return done.stdout


def test_a_merge_is_released_and_pushed(released: Any, tmp_path: Path) -> None:
    """By the key that the host keeps, whatever git is set to here; a commit of deploy/ alone is none to release."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "host.git")], check=True)
    released.git("remote", "add", "origin", str(tmp_path / "host.git"))
    released.sign_as("eve")
    assert "nothing new to release" in release(released)
    released.change("pipeline.py", SLOPE, "return Fitted(slope + 0.01)")
    released.commit("a merge")
    key = (released.root / ".payoff/keys/ann").read_text()
    said = release(released, PAYOFF_SIGNING_KEY=key, PAYOFF_PUSH="origin HEAD:main")
    assert said.startswith("release 3 ")
    assert released.git("log", "-1", "--format=%s").startswith("Release 3 of ")
    assert released.git("ls-remote", "origin", "main").split()[0] == released.git("rev-parse", "HEAD").strip()
    assert "nothing new to release" in release(released, PAYOFF_SIGNING_KEY=key)
    assert released.git("status", "--porcelain") == ""
    assert released.git("config", "user.signingkey").strip().endswith("eve"), "nothing was written to git's settings"


def test_a_merge_that_loses_is_not_released(released: Any) -> None:
    released.change("pipeline.py", SLOPE, "return Fitted(-1.5)")
    released.commit("a merge that should not have been")
    head = released.git("rev-parse", "HEAD")
    release(released, code=1, PAYOFF_SIGNING_KEY=(released.root / ".payoff/keys/ann").read_text())
    assert released.git("rev-parse", "HEAD") == head


def test_where_nothing_is_released(clean: Any) -> None:
    assert "no [release]" in release(clean)
