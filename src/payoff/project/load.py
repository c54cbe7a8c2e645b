"""A project folder -> Project. What an unchanged project says is known from before; only git is asked again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from payoff.base import hashing
from payoff.base.errors import InvalidInput, UserError, Where
from payoff.project.files import CACHE, FORMAT, Reading, keep, listing, recall
from payoff.project.git import Status
from payoff.records.finding import Finding, from_error
from payoff.records.project import Git, Project

FILE = "payoff.toml"
SCHEMAS = Path(__file__).parent.parent / "schemas"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier reading found, and everything it depended on."""

    format: str
    files: dict[str, str]
    absent: tuple[str, ...]
    listings: dict[str, tuple[str, ...]]
    project: Project
    findings: tuple[Finding, ...]


def find_root(start: Path) -> Path:
    """The folder with payoff.toml: `start` or the nearest one above it. Absolute.

    Raises UserError when there is none.
    """
    here = Path(os.path.abspath(start))
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise _no_project(here)


def _no_project(here: Path) -> UserError:
    return UserError(
        f"no Payoff project here: {FILE} is neither in {here.name or here} nor above it",
        code="PO-P002",
        expected=f"a folder with {FILE}",
        remedy="payoff init DIR, then: cd DIR",
        where=Where(here),
    )


def load(root: Path, git: Git | None = None, *, anew: bool = False) -> Project:
    """The project in a folder; `git` where it is known what git would say, as of a folder that an earlier commit was written to. `anew`: by its
    files alone, whatever .payoff/ has from before.

    Raises InvalidInput with every error that its files have, not only the first.
    """
    project, findings = inspect(root, git, anew=anew)
    errors = [finding.as_error() for finding in findings if finding.severity == "error"]
    if errors or project is None:
        raise InvalidInput(errors)
    return project


def inspect(root: Path, git: Git | None = None, *, anew: bool = False) -> tuple[Project | None, list[Finding]]:
    """The project in a folder and everything found about it: errors, warnings and notes, in the order of the files.

    The project is there as soon as its files can be read, even when there are errors; otherwise it is None.
    """
    root = Path(os.path.abspath(root))
    if not (root / FILE).is_file():
        return None, from_error(_no_project(root))
    status = Status(root) if git is None else None
    reading = Reading(root, anew=anew)
    known = None if anew else _remember(root)
    if known is None:
        from payoff.project import assemble  # the parsers, which an unchanged project does not need

        project = assemble.project(reading)
        findings = reading.findings
        if project is not None and reading.cacheable and not reading.failed and not anew:
            keep(root, _place(root), _known(reading, project))
        files = reading.files
    else:
        project, findings, files = known.project, list(known.findings), known.files
    asked = Reading(root)
    if status is not None:
        git = status.finish(asked)
    findings = [*findings, *asked.findings]
    if project is not None and git is not None:
        project = msgspec.structs.replace(project, root=os.fspath(root), git=git, files=dict(sorted(files.items())))
    return project, findings


def schema_text(name: str) -> str:
    """The JSON schema of `payoff` (payoff.toml) or `charter` (charter.toml), as text for editors."""
    return (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")


def _place(root: Path) -> Path:
    return root / CACHE / "project.json"


def _known(reading: Reading, project: Project) -> Known:
    return Known(
        format=FORMAT,
        files=reading.files,
        absent=tuple(sorted(reading.absent)),
        listings=reading.listings,
        project=project,
        findings=tuple(reading.findings),
    )


def _remember(root: Path) -> Known | None:
    """What was found before, when nothing that it depends on has changed."""
    known = recall(_place(root), Known)
    if known is None:
        return None
    start = os.path.join(root, "")
    try:
        same = (
            known.format == FORMAT
            and all(hashing.of_file(start + file) == digest for file, digest in known.files.items())
            and not any(os.path.exists(start + file) for file in known.absent)
            and all(listing(root, key) == names for key, names in known.listings.items())
        )
    except OSError:
        return None
    return known if same else None
