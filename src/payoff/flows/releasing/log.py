"""What was done to a deployment from here, line by line: for people to read. Nothing is decided by it but how a change is called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from payoff.base.clock import now

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.release.chain import Link


def last(root: Path, deployment: str) -> str:
    """The statement of the release that was made to run last; empty when nothing was, or the file is gone."""
    try:
        lines = _file(root, deployment).read_text(encoding="utf-8").splitlines()
        return str(json.loads(lines[-1])["statement"]) if lines else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def add(root: Path, deployment: str, *, did: str, release: Link, before: str) -> None:
    """One line. `before` is the image that ran."""
    file = _file(root, deployment)
    file.parent.mkdir(parents=True, exist_ok=True)
    said = {
        "time": now(),
        "did": did,
        "release": release.release.number,
        "statement": release.digest,
        "image": release.release.image,
        "before": before,
    }
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(said) + "\n")


def _file(root: Path, deployment: str) -> Path:
    return root / ".payoff" / "deployments" / f"{deployment}.jsonl"
