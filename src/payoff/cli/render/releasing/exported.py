"""The screen and the document of `payoff export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.text import count

if TYPE_CHECKING:
    from payoff.records.answers.exporting import Exported

_NEXT = {
    "containerfile": "podman build {path}",
    "kserve": "kubectl apply --server-side -f {path}",
    "mlflow": "mlflow models serve -m {path}",
    "kfp": "kfp run create -f {path} -e EXPERIMENT",
}


def exported(answer: Exported) -> str:
    """What is where, and what to do with it."""
    of = f"release {answer.release}, run {answer.run}" if answer.release else f"run {answer.run}"
    lines = [f"{answer.path}  {answer.format} of {of}"]
    if answer.files:
        lines.append(f"  {count(len(answer.files), 'file')}, {sum(answer.files.values()) / 10**6:,.1f} MB")
    lines.append(f"  Next: {_NEXT[answer.format].format(path=answer.path)}")
    return "\n".join(lines)
