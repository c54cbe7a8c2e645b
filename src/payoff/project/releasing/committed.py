"""What decides on releases, as a commit has it: the files of its tree, and what they were in all commits before."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from payoff.base import hashing
from payoff.base.errors import Refused, UserError
from payoff.project.releasing.command import git, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# It counts as it is committed, never as it lies about.
DECIDING = ("payoff.toml", "charter.toml", "contracts", "deploy")
# From the oldest on, whatever the user's own settings say of how logs are shown.
_LOG = (
    "log",
    "--topo-order",
    "--reverse",
    "--no-follow",
    "--no-show-signature",
    "--no-color",
    "--no-notes",
    "--no-mailmap",
)


def refuse_changes(root: Path, commit: str, read: Mapping[str, str]) -> None:
    """Refuse when what decides on releases is not as it is committed. `read`: the project's files by their paths, each with the digest of the bytes that
    were taken from it.

    Git is asked for what a person would want to know: what was changed, added, removed. Whether it was told not to look (`update-index`,
    `info/exclude`, a filter that gives back what was committed), does not matter: the bytes that were read are compared with those of the commit.
    """
    said = git(
        root, "-c", "core.fsmonitor=false", "status", "--porcelain", "-z", "--untracked-files=all", "--", *DECIDING
    )
    unseen = git(root, "ls-files", "-v", "-z", "--", *DECIDING).split("\0")
    hidden = {each[2:] for each in unseen if each and (each[0].islower() or each[0] == "S")}
    found = files(root, commit, *DECIDING[:3])
    other = {
        path
        for path, digest in read.items()
        if path.partition("/")[0] in DECIDING and (path not in found or hashing.of_bytes(found[path]) != digest)
    }
    changed = sorted({each[3:] for each in said.split("\0") if len(each) > 3} | hidden | other)
    if changed:
        raise differs(changed)


def differs(changed: list[str]) -> Refused:
    """Files that are not as they are committed."""
    named = shlex.join(changed if len(changed) <= 5 else sorted({each.partition("/")[0] for each in changed}))
    shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    return Refused(
        f"{shown} {'differs' if len(changed) == 1 else 'differ'} from what is committed: only what is committed decides on releases",
        code="PO-A081",
        expected="payoff.toml, charter.toml, contracts/ and deploy/ as they are committed, byte by byte, as files and not as links",
        remedy=f"commit it: git add --all -- {named} && git commit; or set it aside: git stash push --include-untracked -- {named}",
    )


def files(root: Path, commit: str, *folders: str) -> dict[str, bytes]:
    """The plain files of folders as a commit has them, by their paths in the project; a link is none."""
    listed = _listed(root, commit, *folders)
    return dict(zip(listed, _blobs(root, list(listed.values())), strict=True))


def history(root: Path, commit: str, path: str) -> list[tuple[str, bytes | None, str]]:
    """The commits that made a file what it is in a commit, the oldest first, each with what the file was from there on and what its message says.

    Where branches met, that is the side whose file was kept: the promotion or the revert itself, not the merge that brought it, whichever of the
    two sides was merged into the other.
    """
    said = git(root, *_LOG, "-z", "--format=%H%x1f%B", commit, "--", path)
    parts = [each.partition("\x1f") for each in said.split("\0") if each.strip()]
    messages = {each.strip(): message for each, _, message in parts}
    words = ("--stdin", "--root", "-r", "-m", "--raw", "-z", "--no-abbrev", "--no-renames", "--", path)
    blobs: dict[str, str] = {}
    at = ""
    for each in git(root, "diff-tree", *words, said="".join(f"{each}\n" for each in messages).encode()).split("\0"):
        if each in messages:
            at = each
        elif each.startswith(":") and each.split()[1].startswith("100"):
            blobs[at] = each.split()[3]
    were = dict(zip(blobs, _blobs(root, list(blobs.values())), strict=True))
    return [(each, were.get(each), message) for each, message in messages.items()]


class Kept:
    """Folders that are only added to: what was ever committed to them, file by file, the oldest first."""

    def __init__(self, root: Path, commit: str, *folders: str) -> None:
        """Raises `UserError` where the clone has no history to see it by."""
        if git(root, "rev-parse", "--is-shallow-repository") == "true":
            raise UserError(
                "this clone has not all of the history: what became of earlier releases cannot be seen",
                code="PO-A084",
                expected="a clone with its history",
                remedy="git fetch --unshallow (in CI: a checkout with fetch-depth: 0)",
            )
        words = ("--raw", "-z", "-m", "--no-abbrev", "--no-renames", "--relative", "--root", "--format=")
        out = git(root, *_LOG, *words, commit, "--", *folders)
        said = [each for each in out.split("\0") if each.strip()]
        self._root = root
        self._were: dict[str, list[str]] = {}
        for facts, path in zip(said[::2], said[1::2], strict=True):
            was = self._were.setdefault(path, [])
            mode, blob = facts.split()[1], facts.split()[3]
            if mode.startswith("100") and blob not in was:
                was.append(blob)
        self._now = _listed(root, commit, *folders)

    def were(self, path: str) -> list[bytes]:
        """All that a file ever was."""
        return _blobs(self._root, self._were.get(path, []))

    def paths(self) -> list[str]:
        """Of all files that ever were."""
        return list(self._were)

    def refuse_rewritten(self, counts: Callable[[str, bytes], bool]) -> None:
        """Refuse when a file that was once committed is gone, or is another now. What never counted (`counts`: its path, its content) may be
        removed, and what counts may come in its place: otherwise one stray file would stay for good.
        """
        for path, was in sorted(self._were.items()):
            now = self._now.get(path)
            if was == [now]:
                continue
            first = next(
                (blob for blob, content in zip(was, _blobs(self._root, was), strict=True) if counts(path, content)), now
            )
            if first != now:
                raise Refused(
                    f"{path} is {'gone' if now is None else 'not what it was when it was committed'}",
                    code="PO-A034",
                    expected="releases, approvals and the like as they were first committed: nothing of them is ever changed or removed",
                    remedy=f"git log --stat -- {path}, and bring it back: git checkout COMMIT -- {path}",
                )


def _listed(root: Path, commit: str, *folders: str) -> dict[str, str]:
    """Path -> blob of the plain files; a link is none."""
    said = git(root, "ls-tree", "-r", "-z", commit, "--", *folders).split("\0")
    parts = [each.partition("\t") for each in said if each]
    return {path: facts.split()[2] for facts, _, path in parts if facts.startswith("100")}


def _blobs(root: Path, blobs: list[str]) -> list[bytes]:
    """What blobs hold, by one git for all."""
    if not blobs:
        return []
    rest = run(root, "cat-file", "--batch", said="".join(f"{blob}\n" for blob in blobs).encode()).stdout
    found = []
    for blob in blobs:
        head, _, rest = rest.partition(b"\n")
        if not head.startswith(f"{blob} blob ".encode()):
            raise UserError(
                f"git has no object {blob[:12]}, which a commit names",
                code="PO-A148",
                expected="a clone with all of its objects",
                remedy="git fsck, then clone the repository again",
            )
        size = int(head.split()[2])
        found.append(rest[:size])
        rest = rest[size + 1 :]
    return found
