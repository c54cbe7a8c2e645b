"""What the pages' projects share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[Path], None]:
    """Lets a project that was just begun find the environments that other pages' projects have installed, as a user's second project finds uv's cache."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "pages"

    def of(project: Path) -> None:
        shared.mkdir(exist_ok=True)
        (project / ".payoff").mkdir(exist_ok=True)
        (project / ".payoff/environments").symlink_to(shared)

    return of
