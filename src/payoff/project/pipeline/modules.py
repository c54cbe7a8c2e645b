"""The project's Python modules as syntax trees: what each binds, imports and does when it is imported. Nothing is ever executed."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from payoff.base import hashing
from payoff.records.finding import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from payoff.project.files import Reading

BASES = ("", "src/")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPOUND = (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.Match)


class Target:
    """What an import binds: a module, or a name in one."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str | None = None) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        return f"{self.module}:{self.name or ''}"

    @property
    def dotted(self) -> str:
        """`pandas.DataFrame`."""
        return f"{self.module}.{self.name}" if self.name else self.module


class Module:
    """A module of the project.

    `bindings`: name -> the statements that bind it (imports apart). `imports`: name -> what it may stand for.
    `stars`: modules whose names are all taken over. `loose`: statements that do something when the module is imported.
    `doubtful`: definitions whose decorators or calls may do something then. `loads`: modules that are imported then.
    """

    def __init__(self, name: str, file: str, tree: ast.Module, *, package: bool) -> None:
        self.name = name
        self.file = file
        self.tree = tree
        self.package = package
        self.bindings: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, list[Target]] = {}
        self.stars: list[str] = []
        self.loads: list[str] = []
        self.loose: list[ast.stmt] = []
        self.doubtful: list[ast.stmt] = []
        for statement in tree.body:
            self._index(statement)

    def _index(self, statement: ast.stmt) -> None:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._import(statement)
        elif isinstance(statement, _DEFINITIONS):
            self._bind(statement.name, statement)
            if statement.decorator_list:
                self.doubtful.append(statement)
        elif isinstance(statement, _COMPOUND):
            self._compound(statement)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            names = set(bound([statement]))
            for name in names:
                self._bind(name, statement)
            if not names or _stores_elsewhere(statement):
                self.loose.append(statement)
            elif any(isinstance(node, ast.Call) for node in ast.walk(statement)):
                self.doubtful.append(statement)
        elif not _is_text(statement):
            self.loose.append(statement)

    def _bind(self, name: str, statement: ast.stmt) -> None:
        self.bindings.setdefault(name, []).append(statement)

    def _compound(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.If) and _is_main(statement.test):
            return
        nested = [node for node in ast.walk(statement) if isinstance(node, (ast.Import, ast.ImportFrom))]
        for node in nested:
            self._import(node)
        if isinstance(statement, ast.If) and _is_type_checking(statement.test) and not statement.orelse:
            return
        for name in set(bound([statement])):
            self._bind(name, statement)
        if not isinstance(statement, (ast.If, ast.Try)) or not _only_binds(statement):
            self.loose.append(statement)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for name, target in imported(statement, self):
            if name == "*":
                self.stars.append(target.module)
            else:
                self.imports.setdefault(name, []).append(target)
            self.loads.append(target.dotted if target.name else target.module)
        if isinstance(statement, ast.Import):
            self.loads += [alias.name for alias in statement.names]

    def canonical(self, node: ast.expr | None) -> str:
        """The full name of what an expression names, as `pandas.DataFrame`; empty when it is not a plain name."""
        chain = dotted(node)
        if not chain:
            return ""
        targets = self.imports.get(chain[0])
        root = targets[0].dotted if targets else chain[0]
        return ".".join((root, *chain[1:]))


class Modules:
    """Finds the project's modules by name, and parses each once."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._known: dict[str, Module | None] = {}

    def find(self, name: str) -> Module | None:
        """A module of the project, or nothing: then it is somebody else's (or has a syntax error, which is a finding)."""
        if name not in self._known:
            self._known[name] = self._load(name)
        return self._known[name]

    def _load(self, name: str) -> Module | None:
        path = name.replace(".", "/")
        for base in BASES:
            for file, package in ((f"{base}{path}/__init__.py", True), (f"{base}{path}.py", False)):
                if self.reading.exists(file):
                    return self.parse(name, file, package=package)
            if self.reading.names(base + path, (".py",)) or self._has_packages(base + path):
                return Module(name, base + path, ast.Module(body=[], type_ignores=[]), package=True)
        return None

    def _has_packages(self, folder: str) -> bool:
        folders = [name for name in self.reading.names(folder, ("",)) if name.isidentifier()]
        return any(self.reading.names(f"{folder}/{name}", (".py",)) for name in folders[:50])

    def parse(self, name: str, file: str, *, package: bool) -> Module | None:
        """The module in a file; nothing when it has a syntax error (then that is a finding)."""
        text = self.reading.text(file) or ""
        try:
            module = Module(name, file, ast.parse(text, filename=file), package=package)
        except SyntaxError as error:
            why, line = error.msg, error.lineno or 0
        except (ValueError, RecursionError, MemoryError):
            why, line = "it holds what Python cannot read", 0
        else:
            self._known[name] = module
            return module
        self.reading.error(
            "PO-P040",
            f"{file} is not valid Python: {why}",
            Place(file, line),
            expected="Python that this interpreter can parse",
            remedy=f"fix {file}:{line}, then: payoff check",
        )
        self._known[name] = None
        return None


def imported(statement: ast.Import | ast.ImportFrom, module: Module) -> Iterator[tuple[str, Target]]:
    """The names an import binds, and what they stand for."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname:
                yield alias.asname, Target(alias.name)
            else:
                yield alias.name.partition(".")[0], Target(alias.name.partition(".")[0])
        return
    source = statement.module or ""
    if statement.level:
        parts = module.name.split(".")
        keep = len(parts) - statement.level + (1 if module.package else 0)
        source = ".".join([*parts[: max(keep, 0)], *([source] if source else [])])
    for alias in statement.names:
        if alias.name == "*":
            yield "*", Target(source)
        else:
            yield alias.asname or alias.name, Target(source, alias.name) if source else Target(alias.name)


def dotted(node: ast.expr | None) -> tuple[str, ...]:
    """`("pd", "DataFrame")` for `pd.DataFrame`; empty for anything that is no chain of names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def callee(node: ast.expr) -> ast.expr:
    """What a decorator (or a call) calls."""
    return node.func if isinstance(node, ast.Call) else node


def bound(statements: Iterable[ast.AST]) -> Iterator[str]:
    """The names that statements bind in the scope they stand in (imports included)."""
    for node in statements:
        if isinstance(node, _DEFINITIONS):
            yield node.name
            continue
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        yield from bound(ast.iter_child_nodes(node))


def _stores_elsewhere(statement: ast.stmt) -> bool:
    return any(
        isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store)
        for node in ast.walk(statement)
    )


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_main(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and dotted(test.left) == ("__name__",)
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )


def _is_type_checking(test: ast.expr) -> bool:
    return dotted(test)[-1:] == ("TYPE_CHECKING",)


def _only_binds(statement: ast.If | ast.Try) -> bool:
    """True when all that a compound statement does is to define, assign or import something."""
    fine = (ast.Import, ast.ImportFrom, *_DEFINITIONS, ast.Assign, ast.AnnAssign, ast.Raise)
    bodies = [statement.body, statement.orelse]
    if isinstance(statement, ast.Try):
        bodies += [statement.finalbody, *(handler.body for handler in statement.handlers)]
    for each in (each for body in bodies for each in body):
        if isinstance(each, (ast.If, ast.Try)):
            if not _only_binds(each):
                return False
        elif not _is_text(each) and (not isinstance(each, fine) or _stores_elsewhere(each)):
            return False
    return True


def normal(nodes: Iterable[ast.AST]) -> str:
    """The digest of what syntax trees mean: no positions, comments, formatting or docstrings."""
    out: list[str] = []
    for node in nodes:
        _write(node, out)
    return hashing.of_text("\x1f".join(out))


_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def _write(value: Any, out: list[str]) -> None:
    """Spell a tree in a way that does not depend on Python's version (empty fields are left out)."""
    if isinstance(value, ast.AST):
        out.append(f"<{type(value).__name__}")
        for field in value._fields:
            each = getattr(value, field, None)
            if field not in _IGNORED and each is not None and each != []:
                out.append(field)
                _write(each, out)
        out.append(">")
    elif isinstance(value, list):
        out.append("[")
        for each in value:
            if each is None:
                out.append("-")
            elif not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)):
                _write(each, out)
        out.append("]")
    elif isinstance(value, int) and not isinstance(value, bool):
        out.append(hex(value))
    else:
        out.append(f"{type(value).__name__} {value!r}")
