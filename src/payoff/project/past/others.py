"""Files that differ between two versions of a project and are neither its code, nor its charter, nor a lock: what steps may read past Payoff."""

from __future__ import annotations

import fnmatch
import os
import tomllib
from typing import TYPE_CHECKING, Any

from payoff.base import hashing
from payoff.project import charter_keys, config, places, worktree
from payoff.project.past.charter import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from payoff.records.project import Project, Step

REST = "*"
LOCK = ("pyproject.toml", "uv.lock", ".python-version")
# Nothing that is computed hangs on them.
_TOOLS = frozenset({".git", ".github", ".gitlab", ".vscode", ".idea", ".payoff", ".venv", "__pycache__", "deploy"})
_IGNORED = (".gitignore", ".gitattributes", ".gitmodules", ".gitlab-ci.yml", ".pre-commit-config.yaml", ".editorconfig")
# Of payoff.toml: what a hybrid has from its snapshots, its locks and the laboratory.
_ELSEWHERE = (
    "project",
    "sources",
    "sinks",
    "environments",
    "tracking",
    "ledger",
    "store",
    "lineage",
    places.OFFERS,
    "serving",
)
_PROSE = (".md", ".rst", ".py", ".ipynb", ".html", ".png", ".svg", ".jpg", ".pdf")
_ASIDE = ("docs/", "doc/", "tests/", "test/", "notebooks/", ".")
_MOST = 24  # files that are factors each for itself


def differing(root: Path, a: tuple[Project, str], b: tuple[Project, str]) -> dict[str, dict[str, tuple[str, str]]]:
    """Groups of files, each to be taken from one side: `file:PATH`, `file:FOLDER/` where there are very many, `file:*` for what steps hardly
    read (prose, tests, scripts that no step uses), and `data:TABLE` for the files that a source was read from.

    `root` is the project's own folder; of either side the project and its git tree. A group has path -> the digests of both sides.
    """
    if a[1] == b[1]:
        return {}
    projects = (a[0], b[0])
    code, locks = (
        _is_code(projects),
        {_at(each.folder, name) for p in projects for each in p.environments for name in LOCK},
    )
    found: dict[str, dict[str, tuple[str, str]]] = {}
    named: dict[str, tuple[str, str]] = {}
    for path, pair in worktree.differing(root, a[1], b[1]).items():
        tools = _TOOLS & set(path.split("/")[:-1]) or path.endswith(_IGNORED)
        if tools or path in locks or path == charter_keys.FILE or code(path, *pair):
            continue
        if path == config.FILE and _settings(a[0]) == _settings(b[0]):
            continue
        tables = [each for p in projects for each in _tables_of(p, path)]
        if tables:
            found.setdefault(f"data:{tables[0]}", {})[path] = pair
        elif path.endswith(_PROSE) or path.startswith(_ASIDE):
            found.setdefault(f"file:{REST}", {})[path] = pair
        else:
            named[path] = pair
    for path, pair in named.items():
        folder = path.rpartition("/")[0]
        name = f"{folder}/" if len(named) > _MOST and folder else path
        found.setdefault(f"file:{name}", {})[path] = pair
    return found


def _is_code(projects: Iterable[Project]) -> Callable[[str, str, str], bool]:
    """Whether a file is one whose parts are factors: a query that is a step, a module that a step uses, a module that only one side has."""
    parts = [name for each in projects for step in each.steps for name in step.parts]
    modules = {part.removesuffix(" (statements)") for part in parts if part.endswith(" (statements)")}
    modules |= {part.rpartition(".")[0] for part in parts}
    files = tuple(
        each for name in modules for each in (f"{name.replace('.', '/')}.py", f"{name.replace('.', '/')}/__init__.py")
    )
    ends = tuple(f"/{each}" for each in files)

    def answer(path: str, old: str, new: str) -> bool:
        if path.endswith(".sql"):
            return path.startswith("sql/") and path.count("/") == 1
        return path.endswith(".py") and (not old or not new or path in files or path.endswith(ends))

    return answer


def _tables_of(project: Project, path: str) -> list[str]:
    """The sources that are read from a file, as far as their options say."""
    found = []
    for source in project.sources:
        said = [os.path.normpath(each) for each in source.options.values() if isinstance(each, str) and each]
        if any(path == each or path.startswith(f"{each}/") or fnmatch.fnmatch(path, each) for each in said):
            found.append(source.table)
    return found


def _at(folder: str, name: str) -> str:
    return os.path.normpath(os.path.join(folder, name)).replace(os.sep, "/")


def _document(project: Project) -> dict[str, Any]:
    with open(os.path.join(project.root, config.FILE), "rb") as stream:
        return tomllib.load(stream)


def _settings(project: Project) -> dict[str, Any]:
    return {name: each for name, each in _document(project).items() if name not in _ELSEWHERE}


def configured(first: Project, second: Project) -> str | None:
    """The text of `first`'s payoff.toml with the sources, environments and joins besides that only `second` has; None where it has all of them."""
    ours, theirs = _document(first), _document(second)
    more: dict[str, Mapping[str, Any]] = {
        "sources": _missing(ours, theirs, "sources", first.steps),
        "environments": _missing(ours, theirs, "environments", ()),
        "joins": _missing(ours, theirs, "joins", [each for each in first.steps if each.join is None]),
    }
    if not any(more.values()):
        return None
    return text(ours | {name: {**ours.get(name, {}), **each} for name, each in more.items() if each})


def _missing(ours: Mapping[str, Any], theirs: Mapping[str, Any], section: str, steps: Iterable[Step]) -> dict[str, Any]:
    """What only the second has there; not where the first has a step of that name."""
    taken = {each.name for each in steps} | ours.get(section, {}).keys()
    return {name: each for name, each in theirs.get(section, {}).items() if name not in taken}


def said(pairs: Mapping[str, tuple[str, str]], side: int) -> str:
    """What a factor says of its files on one side: a digest of them, nothing where there are none."""
    there = {path: pair[side] for path, pair in pairs.items() if pair[side]}
    if len(pairs) == 1:
        return "".join(there.values())[:8]
    return f"{len(there)} files, {hashing.of_json(there)[:8]}" if there else ""
