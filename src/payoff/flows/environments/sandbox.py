"""`payoff sandbox`: a command in a locked environment, with the project's tables as far as they may be shown, and nothing written outside."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base.errors import PayoffError, UserError
from payoff.base.ids import new_run_id
from payoff.base.text import count, did_you_mean
from payoff.data import split
from payoff.flows.data import audit
from payoff.flows.data.opened import Catalog
from payoff.flows.data.sample import masking
from payoff.flows.environments import known
from payoff.plan.graph import TRAIN
from payoff.records.hybrids.environment import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payoff.records.artifact import Artifact
    from payoff.records.project import Environment

SESSIONS = Path(".payoff", "sandbox")
WORK = "work"


def sandbox(
    project: str | None,
    command: Sequence[str],
    tell: Callable[[str], None],
    *,
    environment: str = "default",
    tables: Sequence[str] = (),
) -> int:
    """Run a command (none: Python) in an environment; answers its exit code. `tables` (default: all) are those it has.

    What the command leaves in its folder stays there, in a folder of the session's own; all else of the session goes when it ends.
    """
    catalog = Catalog(project)
    chosen = _environment(catalog, environment)
    keeper = known.keeper(catalog.opened.root)
    base = catalog.opened.root / SESSIONS
    _clean(base)
    session = base / f"{os.getpid()}-{new_run_id()}"
    (session / WORK).mkdir(parents=True)
    (session / WORK / "project").symlink_to(catalog.opened.root)
    try:
        _tables(catalog, tables, session / "tables", tell)
        return keeper.enter(chosen, command, _limits(catalog, session), tell)
    finally:
        if kept := end(session):
            tell(f"what the command left stays in {os.path.relpath(kept)}")


def end(session: Path) -> Path | None:
    """Remove a session but for what somebody left in it; answers where that is."""
    for name in ("tables", "lib"):
        shutil.rmtree(session / name, ignore_errors=True)
    work = session / WORK
    left = (
        [each for each in os.listdir(work) if not each.startswith(".") and each != "project"] if work.is_dir() else []
    )
    if not left:
        shutil.rmtree(session, ignore_errors=True)
        return None
    for each in os.listdir(work):
        if each not in left:
            path = work / each
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path, ignore_errors=True)
    (session / "order.json").unlink(missing_ok=True)
    return work


def _clean(base: Path) -> None:
    """What sessions left that were killed."""
    for name in os.listdir(base) if base.is_dir() else ():
        pid = name.partition("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            end(base / name)


def _environment(catalog: Catalog, name: str) -> Environment:
    found = catalog.project.environment(name)
    if found is None:
        known.specs(catalog.opened.root, name)  # says which there are
        raise AssertionError
    return found


def _limits(catalog: Catalog, session: Path) -> Limits:
    """Hidden are all that runs keep, the sources' files, and the user's home; the project is there, if it is in one of them."""
    root = catalog.opened.root
    home = os.path.expanduser("~")
    files = [os.fspath(path) for source in catalog.project.sources for path in _files(root, source.options)]
    hidden = (os.fspath(root / ".payoff"), *files, *([home] if os.path.isdir(home) and home != "/" else []))
    return Limits(folder=os.fspath(session), hidden=hidden, visible=(os.fspath(root),))


def _files(root: Path, options: dict[str, object]) -> list[Path]:
    """What of a source's options is a file or folder of the project; of a pattern, the folder that it is in."""
    found = []
    for value in options.values():
        plain = str(value).partition("*")[0] if isinstance(value, str) else ""
        path = root / (plain if plain == value else os.path.dirname(plain))
        if plain and path.exists() and path != root and root in path.parents:
            found.append(path)
    return found


def _tables(catalog: Catalog, wanted: Sequence[str], folder: Path, tell: Callable[[str], None]) -> None:
    """Copies of the newest versions: masked where labels ask for it, without the rows that are held out."""
    folder.mkdir()
    names = (*catalog.names, TRAIN)
    for name in wanted:
        if name not in names:
            raise UserError(
                f"the project has no table {name!r} to be shown",
                code="PO-R140",
                expected=did_you_mean(name, names),
                remedy="payoff data ls lists them",
            )
    about = {}
    for name in names:
        newest = catalog.newest(name)
        if (wanted and name not in wanted) or newest is None or not catalog.opened.kit.store.has(newest[1]):
            continue
        try:
            about[name] = _table(catalog, name, newest[1], folder)
        except PayoffError as error:
            tell(f"{name} is left out: {error.what}")
    (folder / "tables.json").write_text(json.dumps(about), encoding="utf-8")
    if not about:
        tell("no run has made a table yet: there are no variables")


def _table(catalog: Catalog, name: str, artifact: Artifact, folder: Path) -> str:
    engine, store = catalog.opened.kit.engine, catalog.opened.kit.store
    charter = catalog.project.charter
    columns, masked = masking(catalog, name, artifact)
    cut = name != TRAIN and charter.split.on in artifact.columns
    where = f" where not {split.held(charter)}" if cut else ""
    shown = [each for each in artifact.columns if each not in masked]
    audit.write_down(catalog, audit.by_hand(catalog, name, shown, "sandbox", artifact.rows or 0))
    engine.transform(f"select {columns} from t{where}", {"t": store.path(artifact)}, folder / f"{name}.arrow")
    rows = engine.query("select count(*) as n from t", {"t": folder / f"{name}.arrow"}).to_pylist()[0]["n"]
    said = [count(rows, "row"), count(len(artifact.columns), "column")]
    said += [f"masked: {', '.join(masked)}"] if masked else []
    said += ["without the rows that are held out"] if cut and rows < (artifact.rows or 0) else []
    return ", ".join(said)
