"""A working tree that differs from its commit, as a git tree of its own; and why git failed. The user's index is never touched."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from payoff.project.files import CACHE, hide

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.project.files import Reading


_NOBODY = {"NAME": "Payoff", "EMAIL": "payoff@localhost", "DATE": "2000-01-01T00:00:00Z"}


def explain(root: Path, reading: Reading) -> None:
    """Ask git again, and make a finding of its reason."""
    message = _run(root, "status", "--porcelain").stderr.decode(errors="replace")
    here = root.name
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
            remedy=f'git config --global --add safe.directory "{root}"',
        )
    else:
        first = next((line for line in message.splitlines() if line.strip()), "it gave no reason")
        reading.error(
            "PO-P033",
            f"git status failed: {first[:200]}",
            expected="a repository that git can read",
            remedy="git status",
        )


def snapshot(root: Path) -> str | None:
    """The digest (a git tree) of the working tree, ignored files left out, by a private index; nothing when git cannot make one.

    The files themselves go into the repository's object store, where `git archive` finds them.
    """
    index = root / CACHE / f"index-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        hide(root)
        theirs = root / _answer(root, "rev-parse", "--git-path", "index")
        index.parent.mkdir(parents=True, exist_ok=True)
        if theirs.exists():
            index.write_bytes(theirs.read_bytes())
            # With its time: git looks into a file changed in the same second as the index, and only then, as it compares seconds.
            found = theirs.stat()
            os.utime(index, ns=(found.st_atime_ns, found.st_mtime_ns))
        private = {"GIT_INDEX_FILE": os.fspath(index)}
        _answer(root, "add", "-A", "--", ".", environment=private)
        return _answer(root, "write-tree", environment=private)
    except (OSError, subprocess.CalledProcessError):
        return None
    finally:
        with contextlib.suppress(OSError):
            index.unlink(missing_ok=True)


def commit_of(root: Path, tree: str, parent: str | None, run: str) -> str | None:
    """A commit, on no branch, that holds a tree; nothing when git cannot make one.

    Its author and time are the parent's or none's, so that the same tree at the same commit is the same commit for every run of it.
    """
    before = ("-p", parent) if parent is not None else ()
    nobody = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _NOBODY.items()}
    try:
        return _answer(
            root, "commit-tree", tree, *before, "-m", "A working tree as a run of Payoff found it", environment=nobody
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def checkout(root: Path, tree: str, folder: Path) -> tuple[str, str]:
    """Write the files of a tree (or commit) into a folder, as `git checkout` would; answers the digest of what was written, and what git said
    where it could not (then the digest is empty).

    Only the part of the tree that is the project in `root` is written, at the top of the folder. Files come through the filters that
    `.gitattributes` names.
    """
    index = folder.with_name(f"{folder.name}.index")
    try:
        within = _answer(root, "rev-parse", "--show-prefix").rstrip("/")
        part = _answer(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree}^{{tree}}")
        if within:
            part = _answer(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{part}:{within}")
        private = {
            "GIT_INDEX_FILE": os.fspath(index),
            "GIT_DIR": _answer(root, "rev-parse", "--absolute-git-dir"),
            "GIT_WORK_TREE": os.fspath(folder),
        }
        folder.mkdir(parents=True)
        _answer(folder, "read-tree", part, environment=private)
        _answer(folder, "checkout-index", "--all", "--force", "--quiet", environment=private)
    except subprocess.CalledProcessError as error:
        return "", os.fsdecode(error.stderr)
    finally:
        with contextlib.suppress(OSError):
            index.unlink(missing_ok=True)
    return part, ""


def differing(root: Path, first: str, second: str) -> dict[str, tuple[str, str]]:
    """The files that two trees do not have in common: path -> git's digest of either side's, an empty one where it has none."""
    said = _run(root, "diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", "--end-of-options", first, second)
    said.check_returncode()
    words = iter(os.fsdecode(said.stdout).split("\0"))
    found = {}
    for change in words:
        if change:
            _, _, old, new, _ = change.split()
            found[next(words)] = (old.strip("0") and old, new.strip("0") and new)
    return found


def has(root: Path, tree: str) -> bool:
    """Whether git knows a commit or a tree by that digest."""
    return _run(root, "cat-file", "-e", f"{tree}^{{tree}}").returncode == 0


def archive(root: Path, rev: str, folder: str) -> bytes | None:
    """A folder as a commit has it, as a tar file (empty when the commit has no such folder); None when git knows no such commit."""
    found = _run(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    if found.returncode:
        return None
    commit = os.fsdecode(found.stdout).strip()
    if not _run(root, "ls-tree", commit, f"{folder}/").stdout:
        return b""
    return _run(root, "archive", commit, folder).stdout


def _answer(root: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    done = _run(root, *arguments, environment=environment)
    done.check_returncode()
    return os.fsdecode(done.stdout).strip()


def _run(root: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
    )
