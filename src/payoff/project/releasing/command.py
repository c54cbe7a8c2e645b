"""Git as a command: what it said, or why it did not."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REMOTE = 120.0  # seconds for a remote to answer


def git(
    root: Path, *words: str, said: bytes = b"", more: Mapping[str, str] | None = None, refused: bool = False
) -> str:
    """What git answers; the user's error when it fails, or an empty text where that may be (`refused`)."""
    done = run(root, *words, said=said, more=more)
    if done.returncode and not refused:
        raise failed(words[0], done.stderr)
    return "" if done.returncode else os.fsdecode(done.stdout).rstrip("\n")


def asking(root: Path, *words: str) -> None:
    """A command that talks with a remote: it may ask nobody for a password, and its time is bounded. Raises `OutsideError`."""
    command = ["git", *words]
    # A session of its own has no terminal to ask at, and is ended whole: ssh with it.
    process = subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**_environment(), "GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never"},
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=REMOTE)
        why = _first(errors) if process.returncode else ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        why = f"the remote did not answer within {REMOTE:g} seconds"
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if why:
        raise OutsideError(
            f"git {words[0]} failed: {why}",
            code="PO-A147",
            expected="a remote that answers, and credentials that git has without asking",
            remedy=f"git {' '.join(each for each in words if each != '--quiet')}",
        )


def run(
    root: Path, *words: str, said: bytes = b"", more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Git's answer, whatever it is."""
    return subprocess.run(
        ["git", *words], cwd=root, input=said, capture_output=True, check=False, env={**_environment(), **(more or {})}
    )


def failed(verb: str, errors: bytes) -> UserError:
    """The error of a git that did not do what it was asked for."""
    return UserError(
        f"git {verb} failed: {_first(errors)}",
        code="PO-A083",
        expected="a repository that can be committed to",
        remedy="git status",
    )


def _first(errors: bytes) -> str:
    lines = [line for line in os.fsdecode(errors).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (told or lines or ["it gave no reason"])[0][:200]


def _environment() -> dict[str, str]:
    # Objects count as they are, not as refs/replace would have them.
    return {**os.environ, "LC_ALL": "C", "GIT_EDITOR": "true", "GIT_NO_REPLACE_OBJECTS": "1"}
