"""The global names that code uses, by the rules of Python's scopes; and the code that finds names at run time."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from payoff.project.pipeline.modules import Module, Target, bound, dotted, imported

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WHOLE_MODULE = frozenset({"exec", "eval", "globals", "vars"})
_ANY_MODULE = frozenset({"__import__", "importlib.import_module", "importlib.util", "runpy", "sys.modules"})


class Reference(NamedTuple):
    """A global name that code uses, with the attributes looked up on it; `targets` when the code imported it itself."""

    chain: tuple[str, ...]
    targets: tuple[Target, ...] | None
    line: int


class Trick(NamedTuple):
    """Code that finds names at run time: nothing less than whole modules is safe."""

    what: str
    line: int
    everything: bool


class References:
    """Collects the global names that statements use, by the rules of Python's scopes."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.scopes: list[dict[str, tuple[Target, ...] | None]] = []
        self.found: list[Reference] = []
        self.tricks: list[Trick] = []

    def visit(self, node: ast.AST) -> None:
        """Take in one piece of syntax with everything inside of it."""
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._function(node)
        elif isinstance(node, ast.Lambda):
            self._arguments(node.args)
            self._inside(dict.fromkeys(_parameters(node.args)), [node.body])
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            names = (name for generator in node.generators for name in bound([generator.target]))
            self._inside(dict.fromkeys(names), ast.iter_child_nodes(node))
        elif isinstance(node, (ast.Name, ast.Attribute)):
            self._name(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for _, target in imported(node, self.module):
                self.found.append(Reference((), (target,), node.lineno))
        elif isinstance(node, ast.Call):
            self._call(node)
        else:
            if isinstance(node, ast.AnnAssign):
                self._annotation(node.annotation)
            for child in ast.iter_child_nodes(node):
                self.visit(child)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._arguments(node.args)
        if node.returns is not None:
            self._annotation(node.returns)
            self.visit(node.returns)
        local: dict[str, tuple[Target, ...] | None] = dict.fromkeys([*_parameters(node.args), *bound(node.body)])
        for inner in _own(node.body):
            if isinstance(inner, (ast.Global, ast.Nonlocal)):
                for name in inner.names:
                    local.pop(name, None)
            elif isinstance(inner, (ast.Import, ast.ImportFrom)):
                for name, target in imported(inner, self.module):
                    local[name] = (*(local.get(name) or ()), target)
        self._inside(local, node.body)

    def _arguments(self, arguments: ast.arguments) -> None:
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if each is not None and each.annotation is not None:
                self._annotation(each.annotation)
                self.visit(each.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)

    def _annotation(self, node: ast.expr) -> None:
        """An annotation written as text is code, too."""
        texts = [
            each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        for text in texts:
            try:
                self.visit(ast.parse(text, mode="eval"))
            except (SyntaxError, ValueError):
                continue

    def _inside(self, local: dict[str, tuple[Target, ...] | None], nodes: Iterable[ast.AST]) -> None:
        self.scopes.append(local)
        for node in nodes:
            self.visit(node)
        self.scopes.pop()

    def _name(self, node: ast.Name | ast.Attribute) -> None:
        chain = dotted(node)
        if chain:
            self._refer(chain, node.lineno)
        elif isinstance(node, ast.Attribute):
            self.visit(node.value)

    def _refer(self, chain: tuple[str, ...], line: int) -> None:
        for scope in reversed(self.scopes):
            if chain[0] in scope:
                targets = scope[chain[0]]
                if targets is not None:
                    self.found.append(Reference(chain, targets, line))
                    self._trick(".".join((targets[0].dotted, *chain[1:])), line)
                return
        self.found.append(Reference(chain, None, line))
        targets_ = self.module.imports.get(chain[0])
        self._trick(".".join((targets_[0].dotted if targets_ else chain[0], *chain[1:])), line)

    def _trick(self, name: str, line: int) -> None:
        if any(name == each or name.startswith(f"{each}.") for each in _ANY_MODULE):
            self.tricks.append(Trick(name, line, everything=True))

    def _call(self, node: ast.Call) -> None:
        name = self.module.canonical(node.func)
        literal = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if name == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            chain = dotted(node.args[0])
            if chain and str(node.args[1].value).isidentifier():
                self._refer((*chain, str(node.args[1].value)), node.lineno)
                for each in node.args[2:]:
                    self.visit(each)
                return
        if (
            name in ("importlib.import_module", "__import__")
            and isinstance(literal, str)
            and not literal.startswith(".")
        ):
            self.found.append(Reference(("*",), (Target(literal),), node.lineno))
            return
        plain = len(dotted(node.func)) == 1 and not any(name in scope for scope in self.scopes)
        if plain and name in _WHOLE_MODULE and name not in self.module.bindings and not (name == "vars" and node.args):
            self.tricks.append(Trick(name, node.lineno, everything=False))
        for child in ast.iter_child_nodes(node):
            self.visit(child)


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if each is not None:
            yield each.arg


def _own(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a function's own scope."""
    for node in statements:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _own(ast.iter_child_nodes(node))
