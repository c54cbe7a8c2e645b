"""The commit, the branch and the state of the working tree, from plain `git`. The user's index is never touched."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from payoff.base.files import write_atomically
from payoff.project.files import CACHE
from payoff.records.project import Git

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.project.files import Reading

OURS = ".payoff/"
_FIELDS = {"1": 8, "2": 9, "u": 10, "?": 1, "!": 1}
_STATUS = ("--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--", ".")


class Status:
    """`git status`, started at once and read when the files are read: the two run side by side."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[bytes] | None = None
        hide(root)
        try:
            self.process = _git(root, *_STATUS)
        except OSError:
            self.process = None

    def finish(self, reading: Reading) -> Git:
        """What git says; anything that keeps a run from being recorded is a finding."""
        if self.process is None:
            reading.error(
                "PO-P030",
                "git is not installed, or not on the PATH",
                expected="the git command, which records what a run was made of",
                remedy="install git (https://git-scm.com/downloads), then: payoff check",
            )
            return Git(commit=None, branch=None, dirty=True)
        out, err = self.process.communicate()
        if self.process.returncode:
            self._failed(reading, err.decode(errors="replace"))
            return Git(commit=None, branch=None, dirty=True)
        return self._read(reading, out.decode(errors="surrogateescape"))

    def _failed(self, reading: Reading, message: str) -> None:
        here = self.root.name
        if "not a git repository" in message:
            reading.error(
                "PO-P031",
                f"{here} is not in a git repository",
                expected="a project under git: a run names the commit it was made of",
                remedy="git init && git add -A && git commit -m start",
            )
        elif "dubious ownership" in message:
            reading.error(
                "PO-P033",
                f"git refuses to work in {here}, because it belongs to another user",
                expected="a folder that belongs to you, or one that you told git to trust",
                remedy=f'git config --global --add safe.directory "{self.root}"',
            )
        else:
            first = next((line for line in message.splitlines() if line.strip()), "it gave no reason")
            reading.error(
                "PO-P033",
                f"git status failed: {first[:200]}",
                expected="a repository that git can read",
                remedy="git status",
            )

    def _read(self, reading: Reading, out: str) -> Git:
        commit: str | None = None
        branch: str | None = None
        dirty = tracked = False
        entries = iter(out.split("\0"))
        for entry in entries:
            if entry.startswith("# branch.oid "):
                commit = entry.removeprefix("# branch.oid ")
            elif entry.startswith("# branch.head "):
                branch = entry.removeprefix("# branch.head ")
            elif entry and not entry.startswith("#"):
                path = entry.split(" ", _FIELDS[entry[0]])[-1]
                if entry[0] == "2":
                    next(entries, None)
                if f"/{OURS}" not in f"/{path}":
                    dirty = True
                elif entry[0] != "?" and not tracked:
                    tracked = True
                    reading.warn(
                        "PO-P034",
                        "files of .payoff/ are in git, although they are remade by every run",
                        expected=".payoff/ out of git",
                        remedy="git rm -r -q --cached .payoff && git commit -m 'Keep .payoff out of git'",
                    )
        if commit == "(initial)":
            reading.error(
                "PO-P032",
                "the repository has no commit yet",
                expected="at least one commit: a run names the commit it was made of",
                remedy="git add -A && git commit -m start",
            )
            return Git(commit=None, branch=branch, dirty=True)
        branch = None if branch == "(detached)" else branch
        return Git(commit=commit, branch=branch, dirty=dirty, tree=snapshot(self.root) if dirty else None)


def hide(root: Path) -> None:
    """Keep .payoff/ out of git by a .gitignore in it: nobody has to think of it."""
    ignore = root / OURS / ".gitignore"
    if not ignore.exists():
        with contextlib.suppress(OSError):
            write_atomically(ignore, "*\n")


def snapshot(root: Path) -> str | None:
    """The digest (a git tree) of the working tree, ignored files left out, by a private index; nothing when git cannot make one.

    The files themselves go into the repository's object store, where `git archive` finds them.
    """
    index = root / CACHE / f"index-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        theirs = root / _answer(root, "rev-parse", "--git-path", "index")
        index.parent.mkdir(parents=True, exist_ok=True)
        if theirs.exists():
            index.write_bytes(theirs.read_bytes())
        private = {"GIT_INDEX_FILE": os.fspath(index)}
        _answer(root, "add", "-A", "--", ".", environment=private)
        return _answer(root, "write-tree", environment=private)
    except (OSError, subprocess.CalledProcessError):
        return None
    finally:
        with contextlib.suppress(OSError):
            index.unlink(missing_ok=True)


def _answer(root: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    process = _git(root, *arguments, environment=environment)
    out, err = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments, out, err)
    return os.fsdecode(out).strip()


def _git(root: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["git", *arguments],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
    )
