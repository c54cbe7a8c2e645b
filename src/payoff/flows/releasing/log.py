"""What was done to a deployment from here, line by line: for people to read. By it is decided how a change is called, and whether another kind ran it before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from payoff.base.clock import now

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.release.settings import DeploymentSpec
    from payoff.release.chain import Link


def last(root: Path, deployment: str) -> tuple[str, str]:
    """The statement of the release that was made to run last, and the kind of deployment; empty when nothing was, or the file is gone, and what earlier versions did
    not write.
    """
    try:
        lines = _file(root, deployment).read_text(encoding="utf-8").splitlines()
        said = json.loads(lines[-1]) if lines else {}
        return str(said.get("statement", "")), str(said.get("kind", ""))
    except (OSError, ValueError, AttributeError):
        return "", ""


def add(root: Path, spec: DeploymentSpec, *, did: str, release: Link, before: str) -> None:
    """One line. `before` is the image that ran."""
    file = _file(root, spec.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    said = {
        "time": now(),
        "did": did,
        "kind": spec.kind,
        "release": release.release.number,
        "statement": release.digest,
        "image": release.release.image,
        "before": before,
    }
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(said) + "\n")


def _file(root: Path, deployment: str) -> Path:
    return root / ".payoff" / "deployments" / f"{deployment}.jsonl"
