"""A module as the statements at its top, each with its text and the names it binds."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from payoff.project.pipeline.modules import Module, Target, bound, callee, dotted, imported, normal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BASES = ("", "src/")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Unit:
    """A statement at the top of a module; `number` is its place there."""

    def __init__(self, node: ast.stmt, text: str, number: int) -> None:
        self.node = node
        self.text = text
        self.number = number
        self.names = frozenset(bound([node]))
        self.imports = isinstance(node, (ast.Import, ast.ImportFrom))
        self.says = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        self.future = isinstance(node, ast.ImportFrom) and node.module == "__future__"

    @property
    def loose(self) -> bool:
        """True when it does something and binds nothing."""
        return not self.names and not self.imports and not self.says


class Source:
    """A module's text taken apart. Every statement's text can stand at the top of another module."""

    def __init__(self, name: str, file: str, text: str) -> None:
        package = file.endswith("__init__.py")
        self.name = name
        self.file = file
        self.text = text
        self.tree = ast.parse(text)
        self.module = Module(name, file, self.tree, package=package)
        self.units = list(_units(self.tree, text))

    @property
    def names(self) -> frozenset[str]:
        """All names that the module binds."""
        return frozenset().union(*(unit.names for unit in self.units))

    def binding(self, name: str) -> list[Unit]:
        """The statements that bind a name, imports among them."""
        return [unit for unit in self.units if name in unit.names]

    def defines(self, name: str) -> bool:
        """Whether a statement other than an import binds the name."""
        return any(not unit.imports for unit in self.binding(name))

    def has(self, name: str) -> bool:
        """Whether the module has such a name, by whatever statement."""
        return bool(self.binding(name))

    def digest(self, name: str) -> str:
        """What the statements that bind a name mean."""
        return normal(unit.node for unit in self.binding(name))

    def targets(self, name: str) -> list[Target]:
        """What an imported name stands for."""
        return self.module.imports.get(name, [])

    def is_step(self, name: str) -> bool:
        """Whether the name is a function under `@step`."""
        return any(
            self.module.canonical(callee(each)) == "payoff.step"
            for unit in self.binding(name)
            for each in getattr(unit.node, "decorator_list", ())
        )

    def import_of(self, name: str) -> str:
        """The import of that one name, as a statement of its own (or the whole block that binds it)."""
        for unit in reversed(self.binding(name)):
            if not isinstance(unit.node, (ast.Import, ast.ImportFrom)):
                return unit.text
            for alias in unit.node.names:
                if (alias.asname or alias.name).partition(".")[0] == name:
                    fields = {f: getattr(unit.node, f) for f in unit.node._fields} | {"names": [alias]}
                    return ast.unparse(type(unit.node)(**fields))
        return ""

    def star_imports(self) -> list[str]:
        """The imports that take all names of a module."""
        return [unit.text for unit in self.units if unit.imports and "*" in unit.names]


def used(nodes: list[ast.stmt]) -> Iterator[tuple[str, ...]]:
    """Every chain of names that statements use: `("np", "sqrt")`; those of their own scope are among them."""
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute) and (chain := dotted(each)):
                yield chain
            elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
                yield (each.id,)


def own_imports(nodes: list[ast.stmt], module: Module) -> Iterator[Target]:
    """What statements import when they run: imports inside of functions."""
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, (ast.Import, ast.ImportFrom)):
                for name, target in imported(each, module):
                    yield Target(target.module) if name == "*" else target
                if isinstance(each, ast.Import):
                    yield from (Target(alias.name) for alias in each.names)


def sources(files: Mapping[str, str]) -> dict[str, Source]:
    """The modules among files (path -> text), by name. What Python cannot read is left out."""
    found: dict[str, Source] = {}
    for file, text in sorted(files.items(), reverse=True):  # src/ before the top, which wins
        if file.endswith(".py") and (name := module_name(file)):
            try:
                found[name] = Source(name, file, text)
            except (SyntaxError, ValueError, RecursionError):
                continue
    return found


def module_name(file: str) -> str:
    """`features` for `features.py` and `src/features.py`; empty for a path that no import finds."""
    parts = file.removesuffix(".py").split("/")
    if parts[0] == "src" and len(parts) > 1:
        parts = parts[1:]
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else ""


def _units(tree: ast.Module, text: str) -> Iterator[Unit]:
    lines = text.splitlines(keepends=True)
    taken = -1
    spans = [(_start(node), node.end_lineno or node.lineno) for node in tree.body]
    for number, (node, (start, end)) in enumerate(zip(tree.body, spans, strict=True)):
        following = spans[number + 1][0] if number + 1 < len(spans) else end + 1
        alone = start > taken and following > end and ";" not in lines[end - 1]
        taken = end
        yield Unit(node, "".join(lines[start - 1 : end]).rstrip() if alone else ast.unparse(node), number)


def _start(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min((each.lineno for each in decorators), default=node.lineno)
