"""What a project can say about this executor, and what the executor can do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from payoff.adapters.executors.local.executor import LocalExecutor

if TYPE_CHECKING:
    from pathlib import Path

CAPABILITIES = {"isolation": "process", "remote": False, "memory_limit": True}


@dataclasses.dataclass(frozen=True)
class Options:
    """`folder`: where sandboxes are made, relative to the project."""

    folder: str = ".payoff/environments"


def connect(root: Path, options: Options) -> LocalExecutor:
    """An executor for the project at `root`; nothing is started yet."""
    return LocalExecutor(root, root / options.folder)
