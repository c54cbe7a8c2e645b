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
    # What git was told not to look at (`update-index --assume-unchanged`, `--skip-worktree`) may be anything.
    unseen = _git(root, "ls-files", "-v", "-z", "--", *DECIDING).split("\0")
    hidden = {each[2:] for each in unseen if each and (each[0].islower() or each[0] == "S")}
    changed = sorted({each[3:] for each in said.split("\0") if len(each) > 3} | hidden)
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
    signed = ["-S"] if _git(root, "config", "--bool", "commit.gpgsign", refused=True) == "true" else []
    made = _git(root, "commit-tree", *signed, tree, "-p", before, "-m", says)
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


def forward(root: Path) -> None:
    """Take over what was pushed to the branch that ours follows; nothing where it follows none. Commits of ours that only say what was verified are
    put on top; others that are not pushed yet are refused.
    """
    ours = _git(root, "rev-parse", "--abbrev-ref", "@{upstream}", refused=True)
    if not ours:
        return
    _git(root, "fetch", "--quiet")
    if not _run(root, "merge-base", "--is-ancestor", "@{upstream}", "HEAD").returncode:
        return
    if not _run(root, "merge-base", "--is-ancestor", "HEAD", "@{upstream}").returncode:
        _git(root, "merge", "--quiet", "--ff-only", "@{upstream}")
        return
    changed = set(_git(root, "diff", "--name-only", "--relative", "@{upstream}...HEAD").splitlines())
    if any(not each.startswith("deploy/verified/") for each in changed):
        raise Refused(
            f"this branch and {ours} have both gone on",
            code="PO-A112",
            expected="a branch that only follows",
            remedy=f"git log --oneline {ours}...HEAD, then git rebase {ours} or git reset --hard {ours}",
        )
    _git(root, "rebase", "--quiet", "@{upstream}")


def push(root: Path) -> None:
    """Push our branch to the one that it follows, when there is something to push."""
    if _git(root, "rev-list", "--count", "@{upstream}..HEAD", refused=True) not in {"", "0"}:
        _git(root, "push", "--quiet")


def files(root: Path, commit_: str, folder: str) -> dict[str, bytes]:
    """The files of a folder as a commit has them, by their paths in the project."""
    return {path: _blob(root, blob) for path, blob in _listed(root, commit_, folder).items()}


def history(root: Path, commit_: str, path: str) -> list[tuple[str, bytes | None, str]]:
    """The commits that made a file what it is in a commit, the oldest first, each with what the file was from there on and what its message says.

    Where branches met, that is the side whose file was kept: the promotion or the revert itself, not the merge that brought it, whichever of the
    two sides was merged into the other.
    """
    said = _git(root, "log", "--topo-order", "--reverse", "-z", "--format=%H%x1f%B", commit_, "--", path)
    changed = [each.partition("\x1f") for each in said.split("\0") if each.strip()]
    return [(each.strip(), files(root, each.strip(), path).get(path), message) for each, _, message in changed]


def refuse_rewritten(root: Path, commit_: str, folder: str) -> None:
    """Refuse when a file that was once committed to a folder is gone, or is another now: it is one that is only added to.

    Raises `UserError` where the clone has no history to see it by.
    """
    if _git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise UserError(
            "this clone has not all of the history: what became of earlier releases cannot be seen",
            code="PO-A084",
            expected="a clone with its history",
            remedy="git fetch --unshallow (in CI: a checkout with fetch-depth: 0)",
        )
    words = (
        "--raw",
        "-z",
        "-m",
        "--no-abbrev",
        "--no-renames",
        "--relative",
        "--diff-filter=A",
        "--reverse",
        "--format=",
    )
    said = [each for each in _git(root, "log", *words, commit_, "--", folder).split("\0") if each.strip()]
    first: dict[str, str] = {}
    for facts, path in zip(said[::2], said[1::2], strict=True):
        first.setdefault(path, facts.split()[3])
    now = _listed(root, commit_, folder)
    wrong = sorted(path for path, blob in first.items() if now.get(path) != blob)
    if wrong:
        raise Refused(
            f"{wrong[0]} is {'gone' if wrong[0] not in now else 'not what it was when it was committed'}",
            code="PO-A034",
            expected="releases, approvals and the like as they were first committed: nothing of them is ever changed or removed",
            remedy=f"git log --stat -- {wrong[0]}, and bring it back: git checkout COMMIT -- {wrong[0]}",
        )


def _listed(root: Path, commit_: str, folder: str) -> dict[str, str]:
    """Path -> blob of the plain files; a link is none."""
    said = _git(root, "ls-tree", "-r", "-z", commit_, "--", folder).split("\0")
    parts = [each.partition("\t") for each in said if each]
    return {path: facts.split()[2] for facts, _, path in parts if facts.startswith("100")}


def _blob(root: Path, blob: str) -> bytes:
    return _run(root, "cat-file", "blob", blob).stdout


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
        # Objects count as they are, not as refs/replace would have them.
        env={**os.environ, "LC_ALL": "C", "GIT_EDITOR": "true", "GIT_NO_REPLACE_OBJECTS": "1", **(more or {})},
    )
