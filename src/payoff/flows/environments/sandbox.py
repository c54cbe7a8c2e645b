"""`payoff sandbox`: a command in a locked environment, with the project's tables as far as they may be shown, and nothing written outside."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import PayoffError, UserError, Where
from payoff.base.ids import new_run_id
from payoff.base.text import count, did_you_mean
from payoff.data import split
from payoff.data.names import column
from payoff.flows.data import audit
from payoff.flows.data.opened import Catalog
from payoff.flows.data.sample import masking
from payoff.flows.environments import known
from payoff.plan.graph import TRAIN
from payoff.records.artifact import Artifact
from payoff.records.hybrids.environment import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from payoff.ports.environments.keeper import Keeper
    from payoff.records.project import Environment
    from payoff.records.run import RunRecord

SESSIONS = Path(".payoff", "sandbox")
WORK = "work"
LINK = "project"  # made after the lock: a session without it is one that begins, or that has ended


def sandbox(
    project: str | None,
    command: Sequence[str],
    tell: Callable[[str], None],
    *,
    environment: str = "default",
    tables: Sequence[str] = (),
    network: bool = True,
) -> int:
    """Run a command (none: Python) in an environment; answers its exit code. `tables` (default: all) are those it has.

    What the command leaves in its folder stays there, in a folder of the session's own; all else of the session goes when it ends.
    """
    catalog = Catalog(project)
    root = catalog.opened.root
    chosen = _environment(catalog, environment)
    keeper = known.keeper(root)
    _exact(keeper, chosen)
    clean(root)
    with _session(root / SESSIONS, tell) as session:
        (session / WORK / LINK).symlink_to(root)
        _tables(catalog, tables, session / "tables", tell)
        limits = Limits(folder=os.fspath(session), hidden=_hidden(catalog), visible=(os.fspath(root),), network=network)
        return keeper.enter(chosen, command, limits, tell)


def clean(root: Path) -> int:
    """Remove what sessions left that were killed (nobody holds their lock); answers how many there were."""
    base = root / SESSIONS
    begun = [each for each in base.iterdir() if (each / WORK / LINK).is_symlink()] if base.is_dir() else []
    return sum(_abandoned(each) for each in begun)


def _abandoned(session: Path) -> bool:
    with contextlib.suppress(OSError):  # somebody holds it, or it is gone
        door = os.open(session, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end(session)
        finally:
            os.close(door)
        return True
    return False


@contextlib.contextmanager
def _session(base: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """A folder for one session, locked while this process lives."""
    session = base / new_run_id()
    (session / WORK).mkdir(parents=True)
    door = os.open(session, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(door, fcntl.LOCK_EX)
        yield session
    finally:
        kept = end(session)
        os.close(door)
        if kept:
            tell(f"what the command left stays in {os.path.relpath(kept)}")


def end(session: Path) -> Path | None:
    """Remove a session but for what somebody left in it; answers where that is."""
    for name in ("tables", "lib"):
        shutil.rmtree(session / name, ignore_errors=True)
    work = session / WORK
    left = [each for each in os.listdir(work) if not each.startswith(".") and each != LINK] if work.is_dir() else []
    if not left:
        shutil.rmtree(session, ignore_errors=True)
        return None
    for each in os.listdir(work):
        if each not in left:
            path = work / each
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path, ignore_errors=True)
    (session / "order.json").unlink(missing_ok=True)
    return work


def _environment(catalog: Catalog, name: str) -> Environment:
    (spec,) = known.specs(catalog.opened.root, name)
    return next(each for each in catalog.project.environments if each.name == spec.name)


def _exact(keeper: Keeper, environment: Environment) -> None:
    """Refuse an environment that is not what its lock says, or whose lock is not what pyproject.toml asks for."""
    found = keeper.inspect(environment)
    if found.lock == "stale":
        file = Path(environment.folder, "uv.lock")
        raise UserError(
            f"the lock of environment {environment.name} does not match its pyproject.toml",
            code="PO-X001",
            expected="a uv.lock made from the pyproject.toml beside it",
            remedy=f"payoff environments lock {environment.name}, then commit {file}",
            where=Where(os.fspath(file)),
        )
    if found.installed == "changed":
        raise UserError(
            f"what is installed for environment {environment.name} is not what its lock says: {found.said}",
            code="PO-X024",
            expected="packages that nobody changed since they were installed",
            remedy=f"rm -r .payoff/environments/{environment.digest}; the next command installs it again",
        )


def _hidden(catalog: Catalog) -> tuple[str, ...]:
    """All that runs keep, the sources' files, what git keeps of them, passwords in `.env`, and the user's home. The project is there, also if it is in one of them."""
    root, project = catalog.opened.root, catalog.project
    hidden = [root / ".payoff", root / ".env", Path.home()]
    options = (
        *(source.options for source in project.sources),
        *(sink.options for sink in project.sinks),
        project.store,
    )
    hidden += [path for each in options for path in _files(root, each)]
    hidden += _history(root)
    return tuple(os.fspath(path) for path in hidden if path.parent != path)


def _files(root: Path, options: Mapping[str, object]) -> list[Path]:
    """What of some options is a file or folder; of a pattern, the folder that it is in, or where that has the project, the files."""
    found: list[Path] = []
    for value in options.values():
        if not isinstance(value, str) or not value or "://" in value.removeprefix("file://"):
            continue
        path = Path(os.path.normpath(root / value.removeprefix("file://")))
        folder = next((each for each in (path, *path.parents) if "*" not in os.fspath(each)), path)
        if folder != root and folder not in root.parents:
            found += [folder] if folder.exists() else []
        elif folder != path:
            found += folder.glob(os.fspath(path.relative_to(folder)))
    return found


def _history(root: Path) -> list[Path]:
    """The folder of git that the project is in, and of a worktree the repository's: tables that were committed are in it."""
    mark = next((each / ".git" for each in (root, *root.parents) if (each / ".git").exists()), None)
    if mark is None or mark.is_dir():
        return [mark] if mark else []
    named = mark.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
    folder = Path(os.path.normpath(mark.parent / named))
    return [mark, folder.parents[1] if folder.parent.name == "worktrees" else folder]


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
    columns, masked = masking(catalog, name, artifact)
    cut, away = _cut(catalog, name, artifact)
    where = f" where {cut}" if cut else ""
    shown = [each for each in artifact.columns if each not in masked]
    audit.write_down(catalog, audit.by_hand(catalog, name, shown, "sandbox", artifact.rows or 0))
    engine.transform(f"select {columns} from t{where}", {"t": store.path(artifact), **away}, folder / f"{name}.arrow")
    rows = engine.query("select count(*) as n from t", {"t": folder / f"{name}.arrow"}).to_pylist()[0]["n"]
    said = [count(rows, "row"), count(len(artifact.columns), "column")]
    said += [f"masked: {', '.join(masked)}"] if masked else []
    said += ["without the rows that are held out"] if cut and rows < (artifact.rows or 0) else []
    return ", ".join(said)


def _cut(catalog: Catalog, name: str, artifact: Artifact) -> tuple[str, dict[str, Path]]:
    """The condition that keeps held-out rows away, and the tables that it needs besides: by the split's column, or by the ids that the newest run held out."""
    charter = catalog.project.charter
    if name == TRAIN:
        return "", {}
    if charter.split.on in artifact.columns:
        return f"not {split.held(charter)}", {}
    held = next((each for each in map(_held, reversed(catalog.records)) if each is not None), None)
    if held is None or charter.decision.id not in artifact.columns or not catalog.opened.kit.store.has(held):
        return "", {}
    id_ = column(charter.decision.id)
    return f"({id_} is null or {id_} not in (select {id_} from h where {id_} is not null))", {
        "h": catalog.opened.kit.store.path(held)
    }


def _held(record: RunRecord) -> Artifact | None:
    kept = next((stage.extra.get("holdout") for stage in record.stages if stage.name == "split"), None)
    return msgspec.convert(kept, Artifact) if kept else None
