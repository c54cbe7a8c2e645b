"""Where a project is cloned from."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path


# Where the user before the host is no secret but part of the address.
_NAMED = {"ssh", "git+ssh"}


def of(root: Path) -> tuple[str, str]:
    """The address of the remote `origin` without credentials, and the project's folder in the repository; empty where git has none."""
    url, folder = _said(root, "remote", "get-url", "origin"), _said(root, "rev-parse", "--show-prefix")
    return bare(url), folder.rstrip("/")


def bare(url: str) -> str:
    """Who clones brings credentials of his own: a token in an address must not get into what others are given."""
    parts = urlsplit(url)
    if "@" in parts.netloc and parts.scheme not in _NAMED:
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return url


def _said(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=root, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    return "" if done.returncode else os.fsdecode(done.stdout).strip()
