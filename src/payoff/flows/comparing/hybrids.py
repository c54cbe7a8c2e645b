"""A hybrid of two rebuilt runs: A, with some of what differs taken from B."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff import project as projects
from payoff.base import hashing, switches
from payoff.base.errors import InvalidInput
from payoff.flows.comparing.laboratory import GAIN, Laboratory
from payoff.flows.comparing.rebuilding import Experiment, identity, parameters, variables, with_tables
from payoff.project import config
from payoff.project.past import charter, others
from payoff.project.past import folder as past
from payoff.records.hybrids.attribution import Factor, Measured
from payoff.records.project import Environment, Git
from payoff.reproduction.splicing.splice import Unfit, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from payoff.flows.comparing.place import Place
    from payoff.flows.comparing.rebuilding import Rebuilt
    from payoff.records.artifact import Artifact
    from payoff.records.project import Project, Step

    # An environment of A's project (`folder` relative to the project, or absolute) and name -> version that it is to have (empty: not at all) ->
    # the environment, in an absolute folder, or why there is none.
    Environments = Callable[[Environment, dict[str, str]], Environment | str]

CHARTER = "charter.toml"
# Files that steps do not read, but what is made of them: that is in keys.
_IN_KEYS = ("contracts/", config.FILE)
_AWAY = (".payoff", ".venv", ".git", "__pycache__", "node_modules")


def measure(
    laboratory: Laboratory,
    a: Rebuilt,
    b: Rebuilt,
    factors: Sequence[Factor],
    environments: Environments,
    *,
    metric: str = GAIN,
) -> Callable[[frozenset[str], int], Measured]:
    """What the search of causes calls: the metric of the hybrid that takes these factors from B, in its n-th execution."""
    composed: dict[frozenset[str], Experiment | str] = {}

    def answer(taken: frozenset[str], replicate: int = 0) -> Measured:
        if taken not in composed:
            try:
                composed[taken] = compose(laboratory.place, a, b, factors, taken, environments)
            except Unfit as error:
                composed[taken] = str(error)
        found = composed[taken]
        if isinstance(found, str):
            return Measured(state="unknown", error=found)
        measured = laboratory.measure(found, metric, replicate)
        missing = _missing(found, a, b) if measured.state == "failed" else ""
        return Measured(state="unknown", error=missing) if missing else measured

    return answer


def _missing(hybrid: Experiment, a: Rebuilt, b: Rebuilt) -> str:
    """Columns that one run read of a table and the other did not: where a hybrid with code of both fails, that may be why."""
    if hybrid.project.root in {str(a.root), str(b.root)}:
        return ""
    for name, table in hybrid.tables.items():
        sides = [side.tables[name].columns for side in (a, b) if name in side.tables]
        lost = sorted(set().union(*sides) - set(table.columns))
        if lost:
            return f"the snapshot of {name} lacks {', '.join(lost)}: the run that it is from did not read that"
    return ""


def compose(
    place: Place,
    a: Rebuilt,
    b: Rebuilt,
    factors: Iterable[Factor],
    taken: Iterable[str],
    environments: Environments,
    versions: Mapping[str, str] | None = None,
) -> Experiment:
    """The hybrid that has these factors as B has them and everything else as A: with none of them A, with all B.

    `versions`: of packages (by their factors' ids) that are taken in another version than B's.

    Raises Unfit where it cannot be made: parts of code that one statement makes together, packages that do not resolve.
    """
    known = {each.id: each for each in factors}
    chosen = frozenset(taken) & known.keys()
    for name, version in (versions or {}).items():
        known[name] = msgspec.structs.replace(known[name], b=version)
    hybrid = _Hybrid(place, a, b, known, chosen, environments)
    hybrid.between = bool(versions)
    if not chosen:
        return hybrid.whole(a)
    if not versions and chosen == {name for name, each in known.items() if each.testable}:
        return hybrid.whole(b)
    return hybrid.experiment()


class _Hybrid:
    def __init__(
        self,
        place: Place,
        a: Rebuilt,
        b: Rebuilt,
        known: Mapping[str, Factor],
        chosen: frozenset[str],
        environments: Environments,
    ) -> None:
        self.place, self.a, self.b = place, a, b
        self.known, self.chosen, self.environments = known, chosen, environments
        self.between = False  # some packages are in versions that neither of the two has

    def of(self, prefix: str, *, chosen: bool = True) -> set[str]:
        """What stands behind a prefix in the ids of the factors that are taken, or of all."""
        ids = self.chosen if chosen else self.known
        return {name.removeprefix(prefix) for name in ids if name.startswith(prefix)}

    @functools.cached_property
    def groups(self) -> dict[str, dict[str, tuple[str, str]]]:
        """The files that differ and are neither code nor charter nor lock, by the factor that they belong to."""
        sides = ((each.project, each.tree) for each in (self.a, self.b))
        return others.differing(self.place.root, *sides)

    def whole(self, side: Rebuilt) -> Experiment:
        """One of the two runs as it was."""
        switched = variables(side.record) | self._switched()
        whole = side.experiment
        apart = self._apart()
        name = identity(whole.project, (side.tree,), whole.tables, whole.parameters, self._switched() | apart)
        return msgspec.structs.replace(whole, identity=name, looks=1, variables=switched, apart=apart)

    def experiment(self) -> Experiment:
        """The project with its tables and parameters."""
        code = self.of("code:")
        folder = self._write(code)
        past.remember(self.place.root, folder)
        try:
            project = projects.load(folder, Git(commit=None, branch=None, dirty=True))
        except InvalidInput as error:
            raise Unfit(f"the parts do not fit together: {error.parts[0].what}") from error
        project, tables, _ = with_tables(project, self.a.record)
        steps = tuple(self._settings(step) for step in project.steps)
        locks = tuple(self._environment(each) for each in project.environments)
        project = msgspec.structs.replace(project, id=self.a.project.id, steps=steps, environments=locks)
        tables = self._tables(project, tables)
        given = self._parameters(project)
        switched, apart = self._switched(), self._apart()
        trees = (self.a.tree, self.b.tree) if code else (self.a.tree,)
        return Experiment(
            identity=identity(project, trees, tables, given, switched | apart),
            project=project,
            tables=tables,
            parameters=given,
            variables=variables(self.a.record) | switched,
            apart=apart,
            at=min(self.a.record.started, self.b.record.started),
            only=self.a.experiment.only,
            run=self.a.record.run,
        )

    # -- files

    def _write(self, code: set[str]) -> Path:
        folder = self.place.folder(f"{self.a.record.run}-hybrid")
        shutil.copytree(self.a.root, folder, symlinks=True, ignore=shutil.ignore_patterns(*_AWAY))
        for name in self.chosen & self.groups.keys():
            for path in self.groups[name]:
                _take(self.b.root, folder, path)
        if code:
            apart = {path for paths in self.groups.values() for path in paths}
            ours, theirs = (
                {file: text for file, text in code_of(each.root).items() if file not in apart}
                for each in (self.a, self.b)
            )
            mixed = splice(ours, theirs, code, self.of("code:", chosen=False))
            for file in ours.keys() - mixed.keys():
                (folder / file).unlink()
            for file, text in mixed.items():
                if ours.get(file) != text:
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    (folder / file).write_text(text, encoding="utf-8")
        self._charter(folder)
        self._declared(folder)
        return folder

    def _charter(self, folder: Path) -> None:
        keys, all_keys = self.of("charter:"), self.of("charter:", chosen=False)
        if keys:
            ours, theirs = ((each.root / CHARTER).read_text(encoding="utf-8") for each in (self.a, self.b))
            mixed = theirs if keys == all_keys else charter.splice(ours, theirs, keys)
            (folder / CHARTER).write_text(mixed, encoding="utf-8")

    def _declared(self, folder: Path) -> None:
        """What only one of the two declares (sources, environments) is there for the code that wants it."""
        sides = (self.b, self.a) if f"file:{config.FILE}" in self.chosen else (self.a, self.b)
        text = others.configured(sides[0].project, sides[1].project)
        if text is not None:
            (folder / config.FILE).write_text(text, encoding="utf-8")
        for environment in self.b.project.environments:
            if self.a.project.environment(environment.name) is None:
                for name in others.LOCK:
                    path = os.path.normpath(os.path.join(environment.folder, name))
                    if not (folder / path).exists():
                        _take(self.b.root, folder, path)

    # -- what is said of steps and tables

    def _settings(self, step: Step) -> Step:
        """The step with its seed and switches from the side that each of them is taken from."""
        ours, theirs = self.a.project.step(step.name), self.b.project.step(step.name)
        first, second = ours or theirs or step, theirs or ours or step

        def side(factor: str) -> Step:
            return second if factor in self.chosen else first

        return msgspec.structs.replace(
            step,
            seed=side(f"seed:{step.name}").seed,
            threads=side(f"system:threads:{step.name}").threads,
            deterministic=side(f"system:deterministic:{step.name}").deterministic,
            environment=side(f"system:environment:{step.name}").environment,
        )

    def _environment(self, environment: Environment) -> Environment:
        name = environment.name
        known = self.a.project.environment(name)
        theirs = self.b.project.environment(name)
        if known is None:  # only B has it
            return self._at(theirs, self.b.root) if theirs is not None else self._at(environment, self.a.root)
        ours = self._at(known, self.a.root)
        whole = (f"system:python:{name}", f"system:lock:{name}")
        mine = {each for each in self.known if each in whole or each.startswith(f"package:{name}:")}
        chosen = mine & self.chosen
        if not chosen or theirs is None:
            return ours
        if not self.between and chosen == {each for each in mine if self.known[each].testable}:
            return self._at(theirs, self.b.root)
        if f"system:python:{name}" in chosen:
            raise Unfit(f"environment {name}: its Python changes only together with all of its packages")
        packages = {each.removeprefix(f"package:{name}:"): self.known[each].b for each in sorted(chosen)}
        made = self.environments(ours, packages)
        if isinstance(made, str):
            raise Unfit(made)
        return made

    @staticmethod
    def _at(environment: Environment, root: Path) -> Environment:
        return msgspec.structs.replace(environment, folder=os.fspath(root / environment.folder))

    def _tables(self, project: Project, tables: dict[str, Artifact]) -> dict[str, Artifact]:
        found = {}
        for source in project.sources:
            name = source.table
            code = {f"code:{part}" for part in (f"sql/{name}.sql", *self._parts(name))}
            take = (
                f"data:{name}" in self.chosen
                or name not in tables
                or (source.kind == "snapshot" and code & self.chosen)
            )
            other = self.b.tables.get(name)
            if take and other is not None:
                found[name] = other
            elif name in tables:
                found[name] = tables[name]
        return found

    def _parts(self, name: str) -> tuple[str, ...]:
        """The parts of code of a step that was not made again, of either side."""
        outcomes = [*self.a.record.steps, *self.b.record.steps]
        return tuple(f"pipeline.{each.name}" for each in outcomes if each.name == name)

    def _parameters(self, project: Project) -> dict[str, dict[str, Any]]:
        ours, theirs = self.a.record.parameters, self.b.record.parameters
        given = {step: dict(values) for step, values in ours.items()}
        for step, values in theirs.items():
            for name, value in values.items():
                if f"parameter:{step}.{name}" in self.chosen or name not in ours.get(step, {}):
                    given.setdefault(step, {})[name] = value
        return parameters(project, given)

    def _switched(self) -> dict[str, str]:
        """The environment variables that are factors, each as the side has it that it is taken from."""
        ids = [each for each in self.known if each.startswith("system:env:")]
        return {
            each.removeprefix("system:env:"): self.known[each].b if each in self.chosen else self.known[each].a
            for each in ids
        }

    def _apart(self) -> dict[str, str]:
        """What is in no key: some of the variables, and the files that a step may read past Payoff."""
        found = {name: value for name, value in self._switched().items() if name not in switches.NAMES}
        read = {
            path: pair[name in self.chosen]
            for name, paths in self.groups.items()
            if name in self.known and name.startswith("file:")
            for path, pair in paths.items()
            if not path.startswith(_IN_KEYS)
        }
        return found | ({"[files]": hashing.of_json(read)} if read else {})


def _take(source: Path, folder: Path, path: str) -> None:
    """A file as another folder has it, or none where that has none."""
    target = folder / path
    target.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target, follow_symlinks=False)


def code_of(root: Path) -> dict[str, str]:
    """All Python and SQL files of a project: path -> text."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if each not in _AWAY and not each.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith((".py", ".sql")) and not path.is_symlink():
                try:
                    found[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8-sig")
                except (OSError, UnicodeDecodeError):
                    continue
    return found
