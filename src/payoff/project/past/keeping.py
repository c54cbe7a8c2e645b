"""Keeps what a run was made of in the repository, whatever becomes of branches: `refs/payoff/runs/RUN`.

A commit that is amended, rebased away or whose branch is deleted would be collected by git sooner or later, and the tree of a working
tree that was never committed within two weeks. A ref keeps both. `git branch`, `git tag` and the decorations of `git log` do not show it, and
`git push` does not send it (`git push --mirror` does).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.project import Git

REFS = "refs/payoff/runs"


class Keeping:
    """`git update-ref`, started at once and waited for at the end of the run: a run does not pay for it.

    A repository that cannot be written to keeps nothing, and the run goes on: rebuilding it later says what is missing.
    """

    def __init__(self, root: Path, git: Git, run: str) -> None:
        self._pid = 0
        kept = git.commit
        if git.dirty and git.tree is not None:
            from payoff.project import worktree  # loads subprocess, which the snapshot of a changed tree loaded before

            kept = worktree.commit_of(root, git.tree, git.commit, run)
        if kept is None:
            return
        command = ["git", "-C", os.fspath(root), "update-ref", f"{REFS}/{run}", kept]
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
