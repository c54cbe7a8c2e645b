"""What a piece of project code uses, transitively across modules: the parts whose change makes a step stale."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from payoff.base import hashing
from payoff.project.pipeline.modules import Module, Modules, Target, callee, dotted, normal
from payoff.project.pipeline.references import Reference, References, Trick

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANYWHERE = ("__name__", "__file__", "__doc__", "__path__", "__package__", "__spec__", "__dict__")


class Code(NamedTuple):
    """The parts of a step (qualified name -> digest), and why they are whole modules (nothing: they are not)."""

    parts: dict[str, str]
    opaque: str


class Uses:
    """Follows references through the project's modules. Looks at every piece once, however many steps use it."""

    def __init__(self, modules: Modules) -> None:
        self.modules = modules
        self._seen: dict[tuple[int, ...], tuple[list[Reference], list[Trick]]] = {}
        self._digests: dict[tuple[int, ...], str] = {}
        self._at_import: dict[str, list[ast.AST]] = {}
        self._alive: list[ast.AST] = []

    def of(self, module: Module, name: str, function: ast.AST) -> Code:
        """What the function (a step, without its decorator) uses."""
        self._alive.append(function)
        walk = _Closure(self)
        walk.parts[f"{module.name}.{name}"] = self.digest([function])
        walk.done.add(("name", module.name, name))
        walk.touch(module)
        walk.follow(module, [function])
        walk.run()
        return Code(walk.parts, "; ".join(dict.fromkeys(walk.reasons)))

    def digest(self, nodes: list[ast.AST]) -> str:
        """The digest of statements, made once."""
        key = tuple(map(id, nodes))
        if key not in self._digests:
            self._digests[key] = normal(nodes)
        return self._digests[key]

    def references(self, module: Module, nodes: list[ast.AST]) -> tuple[list[Reference], list[Trick]]:
        """The references of statements, collected once."""
        key = tuple(map(id, nodes))
        if key not in self._seen:
            collector = References(module)
            for node in nodes:
                collector.visit(node)
            self._seen[key] = (collector.found, collector.tricks)
        return self._seen[key]

    def at_import(self, module: Module) -> list[ast.AST]:
        """The statements of a module that do something when it is imported, found once."""
        if module.name not in self._at_import:
            acting = (each for each in module.doubtful if self._acts(module, each))
            self._at_import[module.name] = [*module.loose, *acting]
        return self._at_import[module.name]

    def _acts(self, module: Module, statement: ast.stmt) -> bool:
        """True when a definition calls project code as the module is imported (a registering decorator, say)."""
        decorators = getattr(statement, "decorator_list", None)
        if decorators is not None and any(module.canonical(callee(each)) == "payoff.step" for each in decorators):
            return False
        calls = decorators if decorators is not None else [n for n in ast.walk(statement) if isinstance(n, ast.Call)]
        for call in calls:
            chain = dotted(callee(call))
            if chain and (chain[0] in module.bindings or self._is_ours(module, chain[0])):
                return True
        return False

    def _is_ours(self, module: Module, name: str) -> bool:
        return any(self.modules.find(target.module) is not None for target in module.imports.get(name, ()))


class _Closure:
    def __init__(self, uses: Uses) -> None:
        self.uses = uses
        self.modules = uses.modules
        self.parts: dict[str, str] = {}
        self.reasons: list[str] = []
        self.done: set[tuple[str, ...]] = set()
        self.queue: list[tuple[str, Module, str]] = []

    def run(self) -> None:
        while self.queue:
            kind, module, name = self.queue.pop()
            if kind == "loose":
                self._loose(module)
            elif kind == "whole":
                self._whole(module)
            else:
                nodes: list[ast.AST] = list(module.bindings[name])
                self.parts[f"{module.name}.{name}"] = self.uses.digest(nodes)
                self.follow(module, nodes)

    def _add(self, kind: str, module: Module, name: str = "") -> None:
        key = (kind, module.name, name)
        if key not in self.done:
            self.done.add(key)
            self.queue.append((kind, module, name))

    def touch(self, module: Module) -> None:
        """The module is imported: it and the packages around it do what they do then."""
        parts = module.name.split(".")
        for end in range(1, len(parts)):
            package = self.modules.find(".".join(parts[:end]))
            if package is not None:
                self._add("loose", package)
        self._add("loose", module)

    def _loose(self, module: Module) -> None:
        nodes = self.uses.at_import(module)
        if nodes:
            self.parts[f"{module.name} (statements)"] = self.uses.digest(nodes)
            self.follow(module, nodes)
        for name in module.loads:
            loaded = self.modules.find(name) or self.modules.find(name.rpartition(".")[0])
            if loaded is not None:
                self.touch(loaded)
        for star in module.stars:
            source = self.modules.find(star)
            if source is not None:
                self._all_of(source, f"{module.file} takes all names of {star}")

    def _whole(self, module: Module) -> None:
        self.touch(module)
        for name in module.bindings:
            self._add("name", module, name)
        for name in module.imports:
            self._resolve(module, (name,), module.file)

    def _all_of(self, module: Module, reason: str) -> None:
        self.reasons.append(reason)
        self._add("whole", module)

    def follow(self, module: Module, nodes: list[ast.AST]) -> None:
        """Everything that statements of a module refer to."""
        references, tricks = self.uses.references(module, nodes)
        for reference in references:
            where = f"{module.file}:{reference.line}"
            if reference.targets is None:
                self._resolve(module, reference.chain, where)
            else:
                for target in reference.targets:
                    self._target(target, reference.chain, where)
        for trick in tricks:
            reason = f"{trick.what} at {module.file}:{trick.line} finds names at run time"
            self._all_of(module, reason)
            if trick.everything:
                for other in self._every_module():
                    self._all_of(other, reason)

    def _every_module(self) -> Iterator[Module]:
        reading = self.modules.reading
        reading.cacheable = False
        for path in sorted(reading.root.rglob("*.py")):
            parts = path.relative_to(reading.root).with_suffix("").parts
            if any(part.startswith(".") or part in ("__pycache__", "site-packages", "node_modules") for part in parts):
                continue
            parts = parts[1:] if parts[0] == "src" else parts
            names = parts[:-1] if parts[-1] == "__init__" else parts
            module = self.modules.find(".".join(names)) if names and all(map(str.isidentifier, names)) else None
            if module is not None:
                yield module

    def _resolve(self, module: Module, chain: tuple[str, ...], where: str) -> None:
        """A name used in a module, by what the module binds and imports."""
        name = chain[0]
        if name in module.bindings:
            self._add("name", module, name)
        for target in module.imports.get(name, ()):
            inner = self.modules.find(target.dotted) if (target.module, target.name) == (module.name, name) else None
            if inner is not None:  # a package that imports a module of its own: `from . import scaling`
                self.touch(inner)
                self._within(inner, chain[1:], where)
            elif not self._target(target, chain, where):
                self.parts[f"{module.name}.{name}"] = hashing.of_text(
                    " ".join(str(each) for each in module.imports[name])
                )

    def _target(self, target: Target, chain: tuple[str, ...], where: str) -> bool:
        """Something imported: `chain[0]` is its local name, nothing when it is only imported. False when it is not ours."""
        module = self.modules.find(target.module)
        if module is None:
            return False
        self.touch(module)
        if chain == ("*",):
            self._all_of(module, f"{target.module} is imported by name at {where}")
            return True
        rest = ((target.name,) if target.name else ()) + chain[1:]
        if not chain:
            submodule = self.modules.find(target.dotted) if target.name else None
            if submodule is not None:
                self.touch(submodule)
            return True
        self._within(module, rest, where)
        return True

    def _within(self, module: Module, chain: tuple[str, ...], where: str) -> None:
        """A chain of attributes looked up on a module."""
        if not chain:
            self._all_of(module, f"{where} uses the module {module.name} as a value")
            return
        if chain[0] in module.bindings or chain[0] in module.imports:
            self._resolve(module, chain, where)
            return
        submodule = self.modules.find(f"{module.name}.{chain[0]}") if module.package else None
        if submodule is not None:
            self.touch(submodule)
            self._within(submodule, chain[1:], where)
        elif chain[0] == "__dict__" or chain[0] not in _ANYWHERE:
            if "__getattr__" in module.bindings:
                self._add("name", module, "__getattr__")
            self._all_of(module, f"{where} uses {module.name}.{chain[0]}, which is made at run time")
