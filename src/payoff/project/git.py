"""The commit, the branch and the state of the working tree, from plain `git`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from payoff.records.project import Git

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.project.files import Reading

OURS = ".payoff/"
KEPT = "refs/payoff/runs"
_FIELDS = {"1": 8, "2": 9, "u": 10, "?": 1, "!": 1}
_STATUS = (
    "--no-optional-locks",
    "status",
    "--porcelain=v2",
    "--branch",
    "-z",
    "--untracked-files=normal",
    "--",
    ".",
)


class Status:
    """`git status`, started at once and read when the files are read: the two run side by side."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pid = 0
        self._out = -1
        self._start()

    def _start(self) -> None:
        """Start git without the subprocess module, whose import would take longer than git does."""
        self._out, theirs = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, theirs, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
        command = ["git", "-C", os.fspath(self.root), *_STATUS]
        try:
            self._pid = os.posix_spawnp("git", command, os.environ, file_actions=actions)
        except OSError:
            self._pid = 0
        finally:
            os.close(theirs)

    def finish(self, reading: Reading) -> Git:
        """What git says; anything that keeps a run from being recorded is a finding. To be called once."""
        with open(self._out, "rb") as stream:
            out = stream.read()
        if not self._pid:
            reading.error(
                "PO-P030",
                "git is not installed, or not on the PATH",
                expected="the git command, which records what a run was made of",
                remedy="install git (https://git-scm.com/downloads), then: payoff check",
            )
            return Git(commit=None, branch=None, dirty=True)
        _, code = os.waitpid(self._pid, 0)
        if code:
            from payoff.project import worktree  # loads subprocess, and only a failure or a change needs it

            worktree.explain(self.root, reading)
            return Git(commit=None, branch=None, dirty=True)
        return self._read(reading, os.fsdecode(out))

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
                else:
                    tracked = tracked or entry[0] != "?"
        if tracked:
            reading.warn(
                "PO-P034",
                "files of .payoff/ are in git, although they are remade by every run",
                expected=".payoff/ out of git",
                remedy="git rm -r -q --cached .payoff && git commit -m 'Keep .payoff out of git'",
            )
        branch = None if branch == "(detached)" else branch
        if commit == "(initial)":
            reading.error(
                "PO-P032",
                "the repository has no commit yet",
                expected="at least one commit: a run names the commit it was made of",
                remedy="git add -A && git commit -m start",
            )
            return Git(commit=None, branch=branch, dirty=True)
        return Git(commit=commit, branch=branch, dirty=dirty, tree=self._tree() if dirty else None)

    def _tree(self) -> str | None:
        from payoff.project import worktree  # loads subprocess, and only a failure or a change needs it

        return worktree.snapshot(self.root)


class Keeping:
    """Keeps what a run was made of in the repository, whatever becomes of branches: `refs/payoff/runs/RUN`.

    A commit that is amended, rebased away or whose branch is deleted would be collected by git sooner or later, and the tree of a working
    tree that was never committed within two weeks. A ref keeps both. `git branch`, `git tag` and the decorations of `git log` do not show it,
    and `git push` does not send it (`git push --mirror` does). It is made while the run goes on, and waited for at its end. A repository that cannot be written to
    keeps nothing, and the run goes on: rebuilding it later says what is missing.
    """

    def __init__(self, root: Path, git: Git, run: str) -> None:
        self._pid = 0
        kept = git.commit
        if git.dirty and git.tree is not None:
            from payoff.project import worktree  # loads subprocess, which the snapshot of a changed tree loaded before

            kept = worktree.commit_of(root, git.tree, git.commit, run)
        if kept is None:
            return
        command = ["git", "-C", os.fspath(root), "update-ref", f"{KEPT}/{run}", kept]
        quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        try:
            self._pid = os.posix_spawnp("git", command, os.environ, file_actions=quiet)
        except OSError:
            self._pid = 0

    def finish(self) -> None:
        """Wait for git, which ended long ago. May be called twice."""
        if self._pid:
            os.waitpid(self._pid, 0)
            self._pid = 0
