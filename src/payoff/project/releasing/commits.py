"""Files under deploy/, committed without touching anything else: on a branch that is still where it was, or not at all."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from payoff.base.errors import Refused, UserError
from payoff.base.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What decides on releases: it counts as it is committed, never as it lies about.
DECIDING = ("payoff.toml", "charter.toml", "contracts", "deploy")


def head(root: Path) -> tuple[str, str]:
    """The commit and the ref of the branch we are on."""
    ref = _git(root, "symbolic-ref", "--quiet", "HEAD", refused=True)
    if not ref:
        raise UserError(
            "no branch is checked out here: what is released and promoted is committed to one",
            code="PO-A080",
            expected="a checked-out branch",
            remedy="git switch main",
        )
    return _git(root, "rev-parse", "HEAD"), ref


def refuse_changes(root: Path) -> None:
    """Refuse when what decides on releases is not as it is committed."""
    said = _git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--", *DECIDING)
    changed = sorted({each[3:] for each in said.split("\0") if len(each) > 3})
    if changed:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        raise Refused(
            f"{shown} differs from what is committed: only what is committed decides on releases",
            code="PO-A081",
            expected="payoff.toml, charter.toml, contracts/ and deploy/ as they are committed",
            remedy=f"git diff -- {' '.join(DECIDING)}, then commit it, or put it back: git checkout -- {changed[0]}",
        )


def commit(root: Path, files: Mapping[str, bytes | None], says: str, before: str, *, branch: str = "") -> str:
    """Commit files (None: removed) on top of a commit, and move the branch we are on there; refused when it is elsewhere by now. With
    `branch`, a new branch is made for it, and nothing else is touched. Paths are relative to the project.
    """
    _, ref = head(root)
    prefix = _git(root, "rev-parse", "--show-prefix")
    index = root / ".payoff" / f"index-{os.getpid()}-{os.urandom(4).hex()}"
    index.parent.mkdir(exist_ok=True)
    private = {"GIT_INDEX_FILE": os.fspath(index)}
    try:
        _git(root, "read-tree", before, more=private)
        for path, content in files.items():
            if content is None:
                _git(root, "rm", "--quiet", "--cached", "--ignore-unmatch", "--", path, more=private)
                continue
            blob = _git(root, "hash-object", "-w", "--stdin", said=content)
            _git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{prefix}{path}", more=private)
        tree = _git(root, "write-tree", more=private)
    finally:
        index.unlink(missing_ok=True)
    made = _git(root, "commit-tree", tree, "-p", before, "-m", says)
    if branch:
        _move(root, f"refs/heads/{branch}", made, "0" * 40, f"there is a branch {branch} already")
        return made
    _move(root, ref, made, before, "somebody else has committed in the meantime")
    for path, content in files.items():
        if content is None:
            (root / path).unlink(missing_ok=True)
        else:
            write_atomically(root / path, content)
    # Git's own index says the same of these files; one that is in use is brought up to date by git's next command.
    _git(root, "reset", "--quiet", "--", *files, refused=True)
    return made


def _move(root: Path, ref: str, to: str, before: str, why: str) -> None:
    done = _run(root, "update-ref", "-m", "payoff", ref, to, before)
    if done.returncode:
        raise Refused(
            f"nothing was committed: {why}",
            code="PO-A082",
            expected=f"{ref.removeprefix('refs/heads/')} as it was when we began",
            remedy="git log -3, then the same command again",
        )


def _git(
    root: Path, *words: str, said: bytes = b"", more: Mapping[str, str] | None = None, refused: bool = False
) -> str:
    done = _run(root, *words, said=said, more=more)
    if done.returncode and not refused:
        first = next((line for line in os.fsdecode(done.stderr).splitlines() if line.strip()), "it gave no reason")
        raise UserError(
            f"git {words[0]} failed: {first[:200]}",
            code="PO-A083",
            expected="a repository that can be committed to",
            remedy="git status",
        )
    return "" if done.returncode else os.fsdecode(done.stdout).rstrip("\n")


def _run(
    root: Path, *words: str, said: bytes = b"", more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *words],
        cwd=root,
        input=said,
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", "GIT_EDITOR": "true", **(more or {})},
    )
