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
    """`folder`: where sandboxes are made, relative to the project. `variables`: environment variables that steps get besides those of this process;
    an empty one they do not get.
    """

    folder: str = ".payoff/environments"
    variables: dict[str, str] = dataclasses.field(default_factory=dict)


def connect(root: Path, options: Options) -> LocalExecutor:
    """An executor for the project at `root`; nothing is started yet."""
    return LocalExecutor(root, root / options.folder, options.variables)
