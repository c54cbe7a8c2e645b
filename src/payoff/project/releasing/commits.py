"""Files under deploy/, committed without touching anything else: on a branch that is still where it was, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from payoff.base.errors import Refused, UserError
from payoff.base.files import write_atomically
from payoff.project.releasing.command import asking, failed, git, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOVED = "PO-A082"  # the code of the error where a branch has gone on


def head(root: Path) -> tuple[str, str]:
    """The commit and the ref of the branch we are on."""
    ref = git(root, "symbolic-ref", "--quiet", "HEAD", refused=True)
    if not ref:
        raise UserError(
            "no branch is checked out here: what is released and promoted is committed to one",
            code="PO-A080",
            expected="a checked-out branch",
            remedy="git switch main",
        )
    return git(root, "rev-parse", "HEAD"), ref


def commit(root: Path, files: Mapping[str, bytes | None], says: str, before: str, *, branch: str = "") -> str:
    """Commit files (None: removed) on top of a commit, and move the branch we are on there; refused when it is elsewhere by now. With
    `branch`, a new branch is made for it, and nothing else is touched. Paths are relative to the project.
    """
    _, ref = head(root)
    if branch:
        _refuse_branch(root, branch)
    prefix = git(root, "rev-parse", "--show-prefix")
    index = root / ".payoff" / f"index-{os.getpid()}-{os.urandom(4).hex()}"
    index.parent.mkdir(exist_ok=True)
    private = {"GIT_INDEX_FILE": os.fspath(index)}
    try:
        git(root, "read-tree", before, more=private)
        for path, content in files.items():
            if content is None:
                git(root, "rm", "--quiet", "--cached", "--ignore-unmatch", "--", path, more=private)
                continue
            blob = git(root, "hash-object", "-w", "--stdin", said=content)
            git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{prefix}{path}", more=private)
        tree = git(root, "write-tree", more=private)
    finally:
        index.unlink(missing_ok=True)
    signed = ["-S"] if git(root, "config", "--bool", "commit.gpgsign", refused=True) == "true" else []
    made = git(root, "commit-tree", *signed, tree, "-p", before, "-m", says)
    if branch:
        _move(root, f"refs/heads/{branch}", made, "0" * 40)
        return made
    _move(root, ref, made, before)
    for path, content in files.items():
        if content is None:
            (root / path).unlink(missing_ok=True)
        else:
            write_atomically(root / path, content)
    # Git's own index says the same of these files; one that is in use is brought up to date by git's next command.
    git(root, "reset", "--quiet", "--", *files, refused=True)
    return made


def forward(root: Path) -> None:
    """Take over what was pushed to the branch that ours follows; nothing where it follows none. Commits of ours that only say what was verified are
    put on top; others that are not pushed yet are refused.
    """
    ours = git(root, "rev-parse", "--abbrev-ref", "@{upstream}", refused=True)
    if not ours:
        return
    asking(root, "fetch", "--quiet")
    if not run(root, "merge-base", "--is-ancestor", "@{upstream}", "HEAD").returncode:
        return
    if not run(root, "merge-base", "--is-ancestor", "HEAD", "@{upstream}").returncode:
        git(root, "merge", "--quiet", "--ff-only", "@{upstream}")
        return
    changed = set(git(root, "diff", "--name-only", "--relative", "@{upstream}...HEAD").splitlines())
    if any(not each.startswith("deploy/verified/") for each in changed):
        raise Refused(
            f"this branch and {ours} have both gone on",
            code="PO-A112",
            expected="a branch that only follows",
            remedy=f"git log --oneline {ours}...HEAD, then git rebase {ours} or git reset --hard {ours}",
        )
    done = run(root, "rebase", "--quiet", "--autostash", "@{upstream}")
    if done.returncode:
        git(root, "rebase", "--abort", refused=True)  # a branch in the midst of it would follow nobody any more
        raise failed("rebase", done.stderr)


def push(root: Path) -> None:
    """Push our branch to the one that it follows, when there is something to push."""
    if git(root, "rev-list", "--count", "@{upstream}..HEAD", refused=True) not in {"", "0"}:
        asking(root, "push", "--quiet")


def _refuse_branch(root: Path, branch: str) -> None:
    if not git(root, "check-ref-format", "--branch", branch, refused=True):
        raise UserError(
            f"{branch!r} is no name that git takes for a branch",
            code="PO-A184",
            expected="letters, digits, - and /, as in promote/prod-2",
            remedy="the same command with another --branch; git check-ref-format --branch NAME tries one",
        )
    if git(root, "rev-parse", "--quiet", "--verify", f"refs/heads/{branch}", refused=True):
        raise Refused(
            f"nothing was committed: there is a branch {branch} already",
            code=MOVED,
            expected="a branch of its own for each promotion",
            remedy=f"the same command with another --branch; or git branch -D {branch}, when nobody needs it",
        )


def _move(root: Path, ref: str, to: str, before: str) -> None:
    done = run(root, "update-ref", "-m", "payoff", ref, to, before)
    if done.returncode:
        raise Refused(
            "nothing was committed: somebody else has committed in the meantime",
            code=MOVED,
            expected=f"{ref.removeprefix('refs/heads/')} as it was when we began",
            remedy="git log -3, then the same command again",
        )
