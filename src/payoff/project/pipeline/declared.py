"""Point-in-time joins in the pipeline: `NAME = payoff.as_of(...)` at the top of a file. Read, never executed, and the same steps as those of payoff.toml."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from payoff.base import text
from payoff.project import spec
from payoff.project.pipeline import joins
from payoff.records.finding import Place
from payoff.records.joins.as_of import AsOf, Join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.project.files import Reading
    from payoff.project.pipeline.modules import Module
    from payoff.records.project import Step

_CALL, _FACTS = "payoff.as_of", "payoff.facts"
_KEYS = {name: key for name, key in joins.FACTS.keys.items() if isinstance(key, spec.Key)}
_WRITTEN = "text or lists of texts that are written out: pipelines are read, not executed"


def steps(reading: Reading, module: Module) -> Iterator[Step]:
    """The joins of one module, in its order; what is wrong with one becomes a finding."""
    if not any(target.dotted in (_CALL, "payoff") for targets in module.imports.values() for target in targets):
        return
    found = []
    for statement in module.tree.body:
        name, call = _assigned(statement)
        if call is not None and module.canonical(call.func) == _CALL:
            found.append(call)
            join = _Reader(reading, module, name).join(call)
            if join is not None:
                made = joins.step(join)
                # A piece of the module's code like its functions: two runs are told apart, and made alike, by it.
                yield replace(made, parts={f"{module.name}.{name}": made.code})
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call) and node not in found):
        if module.canonical(call.func) == _CALL:
            what = "payoff.as_of stands where it declares nothing"
            joins.refuse(
                reading, Place(module.file, call.lineno), what, "NAME = payoff.as_of(...) at the top of the file"
            )


def _assigned(statement: ast.stmt) -> tuple[str, ast.Call | None]:
    """`NAME = call(...)`, with or without an annotation."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
    if len(targets) == 1 and isinstance(targets[0], ast.Name) and isinstance(value, ast.Call):
        return targets[0].id, value
    return "", None


class _Reader:
    """Reads one join."""

    def __init__(self, reading: Reading, module: Module, name: str) -> None:
        self.reading = reading
        self.module = module
        self.name = name
        self.whole = True

    def join(self, call: ast.Call) -> Join | None:
        """The join; None when something is wrong with it."""
        rows = self._texts(call, "rows", call.args[0]) if len(call.args) == 1 else ""
        if len(call.args) != 1:
            self._wrong(
                call,
                f"the join {self.name} does not say whose rows it has",
                'one table first: payoff.as_of("orders", at=...)',
            )
        at, facts = "", []
        for keyword in call.keywords:
            if keyword.arg == "at":
                at = self._texts(call, "at", keyword.value)
            elif keyword.arg is None:
                self._wrong(keyword.value, f"the join {self.name} takes its facts from elsewhere (**)", _WRITTEN)
            else:
                facts += self._facts(keyword.arg, keyword.value)
        if self.whole and not at:
            self._wrong(
                call, f"the join {self.name} does not say which column is the rows' own time", 'at="ordered_at"'
            )
        if not self.whole:
            return None
        join = Join(
            name=self.name, rows=str(rows), at=str(at), as_of=tuple(facts), line=call.lineno, file=self.module.file
        )
        return join if joins.sound(join, self._said) else None

    def _facts(self, table: str, node: ast.expr) -> list[AsOf]:
        if not isinstance(node, ast.Call) or self.module.canonical(node.func) != _FACTS or node.args:
            expected = f'{table}=payoff.facts(by=["id"], valid="valid_from", columns=["price"])'
            self._wrong(node, f"what the join {self.name} takes of {table} is not written out", expected)
            return []
        section: dict[str, Any] = {}
        for keyword in node.keywords:
            name = keyword.arg or "**"
            if name not in _KEYS:
                self._wrong(keyword.value, f"payoff.facts has no argument {name!r}", text.did_you_mean(name, _KEYS))
                continue
            section[name] = self._texts(node, name, keyword.value, _KEYS[name])
        for name, key in _KEYS.items():
            if key.required and name not in section:
                self._wrong(node, f"the facts of {table} have no {name}", key.says)
        return [joins.facts_of(table, section, node.lineno)] if self.whole else []

    def _texts(self, call: ast.Call, name: str, node: ast.expr, key: spec.Key | None = None) -> Any:
        """A text, or a list of them where the key wants one."""
        key = key or spec.Key("text", "the name of a table or a column")
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, RecursionError):
            self._wrong(node, f"{name} of the join {self.name} is not written out", _WRITTEN)
            return ""
        value = list(value) if isinstance(value, tuple) else value
        expected = spec.unfit(key, value) if spec.fits(key.kind, value) else key.says
        if expected:
            self._wrong(node, f"{name} of the join {self.name} has a value it cannot have", expected)
        return value

    def _wrong(self, node: ast.AST, what: str, expected: str) -> None:
        self._said(what, expected, getattr(node, "lineno", 0))

    def _said(self, what: str, expected: str, line: int) -> None:
        self.whole = False
        joins.refuse(self.reading, Place(self.module.file, line), what, expected)
