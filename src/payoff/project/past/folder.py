"""The files of a project as a run found them, written into a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from payoff.base.errors import OutsideError, UserError
from payoff.project import worktree
from payoff.project.files import CACHE

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.project import Git

OURS = ".payoff"
_BY_CONTENT = (
    "contract-",
    "sql-",
    "lock-",
    "expression-",
)  # entries that are found by what is in the file, whichever project it is in


class Written(NamedTuple):
    """`tree` is the digest that git has for what was written; `left_out` are links that lead out of the project, relative to it."""

    tree: str
    left_out: tuple[str, ...]


def write(root: Path, git: Git | None, folder: Path, run: str) -> Written:
    """Write what a run of the project in `root` was made of into a new folder: the working tree as it was, committed or not.

    Files that git ignores were never kept. Nothing written leads out of the folder.
    """
    wanted = _tree(git, run)
    if not worktree.has(root, wanted):
        raise _gone(git, run)
    try:
        tree, failed = worktree.checkout(root, wanted, folder)
    except OSError as error:
        raise _no_room(folder) from error
    if not tree:
        raise _no_room(folder) if _is_full(failed) else _gone(git, run)
    shutil.rmtree(folder / OURS, ignore_errors=True)  # what runs make, which somebody put under git
    return Written(tree, tuple(_cut_links(folder)))


def remember(root: Path, folder: Path) -> None:
    """Let a project in another folder know what was found out about equal files of the project in `root`: contracts and queries are not read twice."""
    target = folder / CACHE
    with contextlib.suppress(OSError):
        known = [each for each in os.listdir(root / CACHE) if each.startswith(_BY_CONTENT)]
        target.mkdir(parents=True, exist_ok=True)
        for name in known:
            os.link(root / CACHE / name, target / name)


def _tree(git: Git | None, run: str) -> str:
    """The tree that a run was made of: its own where the working tree had changes, else its commit's."""
    found = None if git is None else (git.tree if git.dirty else git.commit)
    if found is None:
        raise UserError(
            f"run {run} was made of changes that were not committed, and git could not keep them",
            code="PO-Q001",
            expected="a run whose commit, or whose working tree, is in git",
            remedy="payoff runs, and name another; a run of a committed project can always be rebuilt",
        )
    return found


def _gone(git: Git | None, run: str) -> UserError:
    what = "working tree" if git is not None and git.dirty else "commit"
    digest = "" if git is None else (git.tree if git.dirty else git.commit) or ""
    return UserError(
        f"the {what} of run {run} ({digest[:12]}) is not in this repository: it was collected by git, or belongs to another clone",
        code="PO-Q002",
        expected="the objects that the run was made of",
        remedy="git fetch origin 'refs/payoff/*:refs/payoff/*' from the clone in which the run was made, then try again",
    )


def _is_full(said: str) -> bool:
    return "No space left" in said or "Disk quota" in said


def _no_room(folder: Path) -> OutsideError:
    return OutsideError(
        f"the files of the run could not be written to {folder.parent}",
        code="PO-Q003",
        expected="a folder that can be written to, with space left",
        remedy="free some space (du -sh .payoff/*), then try again",
    )


def _cut_links(folder: Path) -> list[str]:
    """Remove links that lead out of the folder: what a hybrid does to its files must not reach anybody else's."""
    found = []
    inside = os.path.realpath(folder)
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(place, name)
            if os.path.islink(path):
                target = os.path.realpath(path)
                if os.path.isabs(os.readlink(path)) or os.path.commonpath([inside, target]) != inside:
                    os.unlink(path)
                    found.append(os.path.relpath(path, folder))
    return sorted(found)
