"""The files of a hybrid's code: those of A, with some parts as B has them.

A part is what `Step.parts` names: `features.scale` (a function, class, constant or import), `features (statements)` (what a module does when
it is imported), `sql/examples.sql`. What a part of B needs and A does not have comes along: imports, and definitions that are in B only.
Definitions that are in A only stay: nothing depends on one that nothing uses.
"""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING, NamedTuple

from payoff.reproduction.splicing.units import Source, own_imports, sources, used

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from payoff.project.pipeline.modules import Target
    from payoff.reproduction.splicing.units import Unit

STATEMENTS = " (statements)"


class Unfit(Exception):
    """Parts that cannot be taken apart from others; the text says which, and why."""


def splice(
    a: Mapping[str, str], b: Mapping[str, str], taken: Collection[str], changed: Collection[str]
) -> dict[str, str]:
    """The code of a hybrid: path -> text of all Python and SQL files.

    `a` and `b` have the files of either side; `changed` are all parts that differ between them, `taken` those as B has them. With none
    taken it is A's code, with all of them B's. Raises Unfit.
    """
    taken = frozenset(taken) & frozenset(changed)
    if not taken:
        return dict(a)
    if taken == frozenset(changed):
        return dict(b)
    queries = {part for part in taken if part.endswith(".sql") and "/" in part}
    work = _Work(a, b, taken - queries, frozenset(changed))
    files = dict(a) | work.files()
    for file in work.gone:
        files.pop(file, None)
    for query in queries:
        if query in b:
            files[query] = b[query]
        else:
            files.pop(query, None)
    return files


class Wanted(NamedTuple):
    """What is taken of a module: names, what it does when it is imported, imports that come along (name -> its text)."""

    names: set[str]
    loose: bool
    imports: dict[str, str]
    rebound: dict[str, str]


class _Work:
    def __init__(
        self, a: Mapping[str, str], b: Mapping[str, str], taken: frozenset[str], changed: frozenset[str]
    ) -> None:
        self.a, self.b = sources(a), sources(b)
        self.taken, self.changed = taken, changed
        self.wanted: dict[str, Wanted] = {}
        self.gone: set[str] = set()
        self.queue: list[tuple[str, str]] = []
        self.added: set[str] = set()
        for part in sorted(taken):
            module, name = self._place(part)
            if name is None:
                self._wants(module, loose=True)
            elif module in self.b and not self.b[module].defines(name) and self.b[module].has(name):
                known = module in self.a and self.a[module].has(name)
                wanted = self._wants(module)
                (wanted.rebound if known else wanted.imports)[name] = self.b[module].import_of(name)
            else:
                self._wants(module).names.add(name)
                self.queue.append((module, name))
        self.whole = {module for module in self.wanted if self._is_whole(module)}

    def _is_whole(self, module: str) -> bool:
        """Whether all that differs in a module is taken, nobody can miss a name of A's, and no import leads elsewhere: then it is taken as it is."""
        parts = {part for part in self.changed if not part.endswith(".sql") and self._place(part)[0] == module}
        ours, theirs = self.a.get(module), self.b.get(module)
        fits = True
        if ours is not None and theirs is not None:
            same = [
                [str(each) for each in ours.targets(n)] == [str(each) for each in theirs.targets(n)] for n in ours.names
            ]
            fits = ours.names <= theirs.names and all(same)
        return parts <= self.taken and fits

    def files(self) -> dict[str, str]:
        """The files that are not as A has them."""
        for module in [name for name, wanted in self.wanted.items() if wanted.loose]:
            if module in self.b and module in self.a:
                self._bring(self.b[module], [unit.node for unit in self.b[module].units if unit.loose])
        self._rebind()
        for name in sorted(self.whole & self.b.keys()):
            self._all_of(self.b[name])
        while self.queue:
            module, name = self.queue.pop()
            if module in self.b:
                self._bring(self.b[module], [unit.node for unit in self.b[module].binding(name) if not unit.imports])
        files = {self.b[name].file: self.b[name].text for name in self.added}
        for name, wanted in sorted(self.wanted.items()):
            files |= self._module(name, wanted)
        return files

    # -- which parts

    def _place(self, part: str) -> tuple[str, str | None]:
        if part.endswith(STATEMENTS):
            return part.removesuffix(STATEMENTS), None
        module, _, name = part.rpartition(".")
        if module not in self.a and module not in self.b:
            raise Unfit(f"{part} is in no module of either version")
        return module, name

    def _wants(self, module: str, *, loose: bool = False) -> Wanted:
        known = self.wanted.get(module, Wanted(set(), False, {}, {}))
        self.wanted[module] = known._replace(loose=known.loose or loose)
        return self.wanted[module]

    def _rebind(self) -> None:
        """An import of a part that is taken is as B has it, in every module: B may have moved the function."""
        for name, source in self.b.items():
            if name not in self.a:
                continue
            for local, targets in source.module.imports.items():
                ours = {str(each) for each in self.a[name].targets(local)}
                theirs = {str(each) for each in targets}
                moved = ours != theirs or self.a[name].defines(local) != source.defines(local)
                parts = {f"{each.module}.{each.name}" for each in targets if each.name}
                if moved and parts & self.taken and self.a[name].has(local):
                    self._wants(name).rebound[local] = source.import_of(local)

    # -- what comes along

    def _bring(self, source: Source, nodes: list[ast.stmt]) -> None:
        """See to it that all that statements of B use is in the hybrid."""
        for chain in used(nodes):
            self._need(source, chain)
        for target in own_imports(nodes, source.module):
            self._reach(target, ())

    def _need(self, source: Source, chain: tuple[str, ...]) -> None:
        name, ours = chain[0], self.a.get(source.name)
        if ours is None:  # the whole module is B's
            return
        if source.has(name):
            missing = not ours.has(name)
            if missing and source.defines(name):
                self._carry(source.name, name)
            elif missing:
                self._wants(source.name).imports[name] = source.import_of(name)
            if not ours.defines(name):
                for target in source.targets(name):
                    self._reach(target, chain[1:])
        elif not ours.has(name) and not hasattr(builtins, name):
            for star in source.star_imports():
                if star not in ours.star_imports():
                    self._wants(source.name).imports[star] = star

    def _reach(self, target: Target, rest: tuple[str, ...]) -> None:
        """Something imported: where it is the project's own, the hybrid must have it."""
        names = ((target.name,) if target.name else ()) + rest
        module = target.module
        while names and f"{module}.{names[0]}" in self.b:
            module, names = f"{module}.{names[0]}", names[1:]
        if module not in self.b:
            return
        if module not in self.a:
            self._add(module)
        elif names and self.b[module].defines(names[0]) and not self.a[module].has(names[0]):
            self._carry(module, names[0])
        elif names and not self.a[module].has(names[0]) and self.b[module].has(names[0]):
            self._wants(module).imports[names[0]] = self.b[module].import_of(names[0])

    def _carry(self, module: str, name: str) -> None:
        wanted = self._wants(module)
        if name not in wanted.names:
            wanted.names.add(name)
            self.queue.append((module, name))

    def _add(self, module: str) -> None:
        """A module that only B has, and what it imports in turn."""
        if module not in self.added:
            self.added.add(module)
            self._all_of(self.b[module])

    def _all_of(self, source: Source) -> None:
        """See to it that all that a whole module of B uses of other modules is in the hybrid."""
        nodes = [unit.node for unit in source.units]
        for target in own_imports(nodes, source.module):
            self._reach(target, ())
        for chain in used(nodes):
            for target in source.targets(chain[0]):
                self._reach(target, chain[1:])

    # -- the text

    def _module(self, name: str, wanted: Wanted) -> dict[str, str]:
        ours, theirs = self.a.get(name), self.b.get(name)
        if theirs is None:
            # Only a step does anything where nobody uses it.
            if ours is not None and name in self.whole and any(ours.is_step(each) for each in wanted.names):
                self.gone.add(ours.file)
            return {}
        if ours is None or name in self.whole:
            if ours is not None and ours.file != theirs.file:
                self.gone.add(ours.file)
            return {theirs.file: theirs.text}
        return {ours.file: _Mix(ours, theirs, wanted, self.changed - self.taken).text()}


class _Mix:
    """The statements of A's module with some of B's."""

    def __init__(self, ours: Source, theirs: Source, wanted: Wanted, kept: frozenset[str]) -> None:
        self.ours, self.theirs, self.wanted = ours, theirs, wanted
        self.kept = kept
        self.instead: dict[int, list[str]] = {}  # number of a statement of A -> texts that stand there
        self.after: dict[
            int, list[tuple[int, str]]
        ] = {}  # number of a statement of A (-1: the top) -> (number in B, text) that follow it

    def text(self) -> str:
        """The module."""
        for names in self._groups():
            self._swap([u for u in self.ours.units if u.names & names and not u.imports],
                       [u for u in self.theirs.units if u.names & names and not u.imports], names)  # fmt: skip
        if self.wanted.loose:
            self._swap([u for u in self.ours.units if u.loose], [u for u in self.theirs.units if u.loose], frozenset())
        for name, text in sorted(self.wanted.rebound.items()):
            last = max(unit.number for unit in self.ours.binding(name))
            self.after.setdefault(last, []).append((-1, text))
        for name in sorted(self.wanted.imports):
            self.after.setdefault(self._leading(), []).append((-1, self.wanted.imports[name]))
        lines = self._following(-1)
        for unit in self.ours.units:
            lines += self.instead.get(unit.number, [unit.text])
            lines += self._following(unit.number)
        return "\n".join(lines) + "\n"

    def _following(self, number: int) -> list[str]:
        return [text for _, text in sorted(self.after.get(number, ()))]

    def _leading(self) -> int:
        """The last of the docstring and the imports at the top of A's module."""
        top = {unit.number for unit in self.ours.units if unit.says or unit.imports}
        return max((n for n in top if top.issuperset(range(n))), default=-1)

    def _groups(self) -> Iterator[frozenset[str]]:
        """Names that one statement binds together, in either version, are taken together."""
        left = {name for name in self.wanted.names if self.theirs.defines(name) or self.ours.is_step(name)}
        while left:
            group = {min(left)}
            while more := {
                name
                for source in (self.ours, self.theirs)
                for unit in source.units
                if not unit.imports and unit.names & group
                for name in unit.names - group
            }:
                group |= more
            left -= group
            for name in sorted(group - self.wanted.names):
                if f"{self.ours.name}.{name}" in self.kept and self.ours.digest(name) != self.theirs.digest(name):
                    other = min(group & self.wanted.names)
                    raise Unfit(f"{self.ours.name}.{name} and {self.ours.name}.{other} are made by one statement")
            yield frozenset(group)

    def _swap(self, old: list[Unit], new: list[Unit], names: frozenset[str]) -> None:
        texts = [self._like(unit) for unit in new]
        for unit in old:
            self.instead[unit.number] = []
        for unit, text in zip(old, texts, strict=False):
            self.instead[unit.number] = [text]
        for unit, text in list(zip(new, texts, strict=True))[len(old) :]:
            anchor = old[-1].number if old else self._before(unit, names)
            self.after.setdefault(anchor, []).append((unit.number, text))

    def _before(self, unit: Unit, names: frozenset[str]) -> int:
        """The statement of A after which a statement that only B has belongs: that of the nearest before it in B that A has too."""
        here = [u.number for u in self.ours.units if u.names & names]
        if here:  # after an import of the same name, which it replaces
            return max(here)
        for earlier in reversed(self.theirs.units[: unit.number]):
            found = [u.number for u in self.ours.units if u.names & earlier.names and not u.imports]
            if found:
                return max(found)
        return self._leading()

    def _like(self, unit: Unit) -> str:
        """B's statement; a step keeps the `@step(...)` that A has above it: settings are factors of their own."""
        name = next(iter(unit.names), "")
        if not isinstance(unit.node, ast.FunctionDef) or not (self.ours.is_step(name) and self.theirs.is_step(name)):
            return unit.text
        ours = next((u.node for u in reversed(self.ours.binding(name)) if isinstance(u.node, ast.FunctionDef)), None)
        if ours is None:
            return unit.text
        above = [each for each in ours.decorator_list if self._is_step(self.ours, each)]
        others = [each for each in unit.node.decorator_list if not self._is_step(self.theirs, each)]
        fields = {field: getattr(unit.node, field) for field in unit.node._fields}
        made = ast.FunctionDef(**(fields | {"decorator_list": [*above, *others]}))
        return ast.unparse(ast.copy_location(made, unit.node))

    def _is_step(self, source: Source, node: ast.expr) -> bool:
        return source.module.canonical(node.func if isinstance(node, ast.Call) else node) == "payoff.step"
