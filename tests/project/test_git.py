"""The commit, the branch, and the working tree as it is."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Written


def test_clean(written: Written) -> None:
    git = written.project().git
    assert git.commit == written.git("rev-parse", "HEAD")
    assert (git.branch, git.dirty, git.tree) == ("main", False, None)


def test_a_changed_tree_is_named_and_can_be_read_back(written: Written) -> None:
    written.change("lib/deep.py", "FACTOR = 3", "FACTOR = 4")
    written.write("neu ü.txt", "new")
    written.write(".venv/x", "ignored")
    written.git("add", "lib/deep.py")
    before = (written.git("status", "--porcelain"), (written.root / ".git/index").read_bytes())
    git = written.project().git
    assert git.dirty
    assert git.tree
    assert (written.git("status", "--porcelain"), (written.root / ".git/index").read_bytes()) == before
    assert written.git("show", f"{git.tree}:lib/deep.py").startswith("FACTOR = 4")
    names = written.git("-c", "core.quotepath=off", "ls-tree", "-r", "--name-only", git.tree).splitlines()
    assert "neu ü.txt" in names
    assert not any(name.startswith((".venv", ".payoff")) for name in names)
    assert written.project().git.tree == git.tree
    written.change("lib/deep.py", "FACTOR = 4", "FACTOR = 5")
    assert written.project().git.tree != git.tree


def test_a_removed_file_is_a_change(written: Written) -> None:
    written.remove("lib/deep.py")
    written.change("lib/features.py", "from .deep import helper\n\n", "helper = int\n")
    git = written.project().git
    assert git.dirty
    assert "lib/deep.py" not in written.git("ls-tree", "-r", "--name-only", git.tree or "")


def test_detached(written: Written) -> None:
    written.git("checkout", "-q", "--detach")
    assert written.project().git.branch is None


def test_our_own_folder_is_no_change(written: Written) -> None:
    written.write(".gitignore", ".venv/\n")
    written.git("commit", "-qam", "no longer ignored")
    for _ in range(2):
        assert not written.project().git.dirty
    assert written.git("status", "--porcelain") == ""
    written.change("lib/deep.py", "3", "4")
    tree = written.project().git.tree or ""
    assert ".payoff" not in written.git("ls-tree", "-r", "--name-only", tree)


def test_our_own_folder_in_git(written: Written) -> None:
    written.project()
    written.git("add", "-f", ".payoff")
    written.git("commit", "-qm", "oops")
    written.write(".payoff/cache/project/project.json", "x")
    assert "git rm" in written.only("PO-P034").try_
    assert not written.project().git.dirty


def test_no_commit_yet(written: Written) -> None:
    shutil.rmtree(written.root / ".git")
    written.git("init", "-q")
    assert written.only("PO-P032").try_ == "git add -A && git commit -m start"


def test_no_repository(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.fspath(written.root.parent))
    shutil.rmtree(written.root / ".git")
    assert written.only("PO-P031").try_.startswith("git init")


def test_no_git(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(written.root))
    assert "install git" in written.only("PO-P030").try_


def test_a_broken_repository(written: Written) -> None:
    (written.root / ".git/HEAD").write_text("nonsense")
    assert written.inspect()[1][-1].code in ("PO-P031", "PO-P033")


def test_a_project_below_the_repository(written: Written) -> None:
    inner = written.root / "inner one"
    for name in ("payoff.toml", "charter.toml", "pipeline.py", "pyproject.toml", "uv.lock", ".gitignore"):
        (inner / name).parent.mkdir(exist_ok=True)
        shutil.copy(written.root / name, inner / name)
    for name in ("lib", "sql", "contracts"):
        shutil.copytree(written.root / name, inner / name)
    written.git("add", "-A")
    written.git("commit", "-qm", "inner")
    below = type(written)(inner)
    assert not below.project().git.dirty
    written.write("outside.txt", "x")
    assert not below.project().git.dirty, "what is outside of the project does not matter"
    below.change("lib/deep.py", "3", "4")
    git = below.project().git
    assert git.dirty
    assert written.git("show", f"{git.tree}:inner one/lib/deep.py").startswith("FACTOR = 4")


def test_an_edit_in_the_second_of_the_commit_is_seen(written: Written) -> None:
    """Same size, same second: git looks into such a file only while the index is not younger than it."""
    file, second = written.root / "lib/deep.py", (1_700_000_000, 1_700_000_000)
    written.git("config", "core.trustctime", "false")
    os.utime(file, second)
    written.git("add", "lib/deep.py")
    written.change("lib/deep.py", "FACTOR = 3", "FACTOR = 4")
    os.utime(file, second)
    os.utime(written.root / ".git/index", second)
    git = written.project().git
    assert git.dirty
    assert "FACTOR = 4" in written.git("show", f"{git.tree}:lib/deep.py")
