"""Opens a project for a verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from payoff import project as projects
from payoff.base.errors import UserError
from payoff.wiring import assemble

if TYPE_CHECKING:
    from payoff.ports.kit import Kit
    from payoff.records.project import Project


class Opened:
    """A project that loaded, with its adapters."""

    def __init__(self, root: Path, project: Project, kit: Kit) -> None:
        self.root = root
        self.project = project
        self.kit = kit


def open_project(folder: str | None) -> Opened:
    """Load the project that a folder belongs to; all its errors at once."""
    root = root_of(folder)
    project = projects.load(root)
    return Opened(root, project, assemble.assemble(project))


def root_of(folder: str | None) -> Path:
    """The project folder: the one given, or the nearest one upward of where we are."""
    if folder is None:
        return projects.find_root(Path.cwd())
    root = Path(folder).absolute()
    if not (root / "payoff.toml").is_file():
        raise UserError(
            f"{folder} is not a Payoff project: it has no payoff.toml",
            code="PO-R101",
            expected="a folder with payoff.toml",
            remedy=f"payoff init {folder}, or name another folder with --project",
        )
    return root
