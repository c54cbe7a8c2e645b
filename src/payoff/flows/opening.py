"""Opens a project for a verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from payoff import project as projects
from payoff.base.errors import UserError
from payoff.base.ids import project_id
from payoff.wiring import assemble

if TYPE_CHECKING:
    from payoff.ports.kit import Kit
    from payoff.records.project import Project


class Past:
    """What is kept of a project's runs."""

    def __init__(self, root: Path, identity: str, kit: Kit) -> None:
        self.root = root
        self.id = identity
        self.kit = kit


class Opened(Past):
    """A project that loaded, with its adapters."""

    def __init__(self, root: Path, project: Project, kit: Kit) -> None:
        super().__init__(root, project.id, kit)
        self.project = project


def open_project(folder: str | None, *, anew: bool = False) -> Opened:
    """Load the project that a folder belongs to; all its errors at once. `anew`: by its files alone, whatever .payoff/ has from before."""
    root = root_of(folder)
    project = projects.load(root, anew=anew)
    return Opened(root, project, assemble.assemble(project))


def open_past(folder: str | None) -> Past:
    """The runs of the project that a folder belongs to, whatever is wrong with its other files now."""
    root = root_of(folder)
    project, findings = projects.inspect(root)
    if project is not None:
        return Opened(root, project, assemble.assemble(project))
    import tomllib  # only when the project does not load

    try:
        settings = tomllib.loads((root / "payoff.toml").read_text(encoding="utf-8"))
        name, ledger = settings["project"]["name"], settings.get("ledger", {})
    except (OSError, ValueError, KeyError, TypeError):
        raise findings[0].as_error() from None
    return Past(root, project_id(str(name)), assemble.only_ledger(root, ledger))


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
