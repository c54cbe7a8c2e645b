"""Steps as the project declares them: functions under `@step`, and queries in `sql/`. Read, never executed."""

from __future__ import annotations

import ast
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing, text
from payoff.project.config import RESERVED
from payoff.project.pipeline import declared as declared_in_code
from payoff.project.pipeline.modules import Module, Modules, callee
from payoff.project.pipeline.uses import Code, Uses
from payoff.records.finding import Place
from payoff.records.project import Form, Input, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.project.files import Reading

Function = ast.FunctionDef | ast.AsyncFunctionDef

SQL_FOLDER = "sql"
FORMS: dict[str, Form] = {
    "ibis.Table": "ibis",
    "ibis.expr.types.Table": "ibis",
    "ibis.expr.types.relations.Table": "ibis",
    "pyarrow.Table": "pyarrow",
    "pyarrow.lib.Table": "pyarrow",
    "pandas.DataFrame": "pandas",
    "pandas.core.frame.DataFrame": "pandas",
    "polars.DataFrame": "polars",
    "polars.dataframe.frame.DataFrame": "polars",
    "pathlib.Path": "path",
}
_OPTIONS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "environment": (str,),
    "seed": (int, type(None)),
    "deterministic": (bool,),
    "threads": (int, type(None)),
}
_SAYS = {
    "name": "a name in quotes",
    "environment": "an environment's name in quotes",
    "seed": "a whole number",
    "deterministic": "True or False",
    "threads": "a whole number of 1 or more",
}


def read(reading: Reading, configured: str, declared: tuple[Step, ...] = ()) -> tuple[Step, ...]:
    """All steps of the project, in the order of the files, then those `declared` in payoff.toml; what is wrong with one is a finding."""
    modules = Modules(reading)
    pipeline = list(_pipeline(reading, modules, configured))
    found = [step for module in pipeline for step in _Pipeline(reading, modules, module).steps()]
    found += [step for module in pipeline for step in declared_in_code.steps(reading, module)]
    for module in pipeline:
        _check_outside(reading, modules, module, pipeline)
    found += [*_queries(reading), *declared]
    return _unique(reading, found)


def _pipeline(reading: Reading, modules: Modules, configured: str) -> Iterator[Module]:
    """The modules that hold steps: the file pipeline.py, or all modules of the package pipeline/."""
    path = (configured or "pipeline.py").replace("\\", "/").removeprefix("./").rstrip("/")
    stem = path.removesuffix(".py")
    name = stem.replace("/", ".")
    if path.endswith(".py") and reading.exists(path):
        files = [(name, path, False)]
    else:
        listed = reading.names(stem, (".py",))
        names = [each.removesuffix(".py") for each in listed]
        files = [
            (name if each == "__init__" else f"{name}.{each}", f"{stem}/{each}.py", each == "__init__")
            for each in names
        ]
    if not files and configured:
        reading.error(
            "PO-P003",
            f"the pipeline {path} is not there",
            Place("payoff.toml"),
            expected="a Python file, or a folder of them, relative to the project",
            remedy=f"write {path}, or change [pipeline] file in payoff.toml, then: payoff check",
        )
    for module_name, file, package in files:
        module = modules.find(module_name) if reading.exists(file) else None
        if module is not None and module.file == file:
            yield module
        elif module is None and reading.exists(file) and not _has_error(reading, file):
            parsed = modules.parse(module_name, file, package=package)
            if parsed is not None:
                yield parsed


def _check_outside(reading: Reading, modules: Modules, module: Module, pipeline: list[Module]) -> None:
    """Say of a step that the pipeline imports from elsewhere that it is none."""
    for target in (each for targets in module.imports.values() for each in targets):
        other = modules.find(target.module) if target.name else None
        if other is None or other in pipeline:
            continue
        for node in other.bindings.get(target.name or "", ()):
            decorators = node.decorator_list if isinstance(node, Function) else []
            if any(other.canonical(callee(each)) == "payoff.step" for each in decorators):
                reading.warn(
                    "PO-P057",
                    f"{target.name} is under @step in {other.file}, outside of the pipeline: it is an ordinary function",
                    Place(other.file, node.lineno),
                    expected=f"steps in {module.file}, or in modules of a package pipeline/",
                    remedy=f"move it to {module.file}, then: payoff check",
                )


def _has_error(reading: Reading, file: str) -> bool:
    return any(
        each.where is not None and each.where.file == file and each.code == "PO-P040" for each in reading.findings
    )


def _unique(reading: Reading, steps: list[Step]) -> tuple[Step, ...]:
    known: dict[str, Step] = {}
    for step in steps:
        if step.name in known:
            first = known[step.name]
            reading.error(
                "PO-P044",
                f"two steps are named {step.name!r}",
                Place(step.file, step.line),
                expected=f"each name once (the first is at {first.file}:{first.line})",
                remedy=f"rename one of the two in {step.file}:{step.line}, then: payoff check",
            )
        elif step.name in RESERVED:
            reading.error(
                "PO-P045",
                f"a step cannot be named {step.name!r}: the split makes that table",
                Place(step.file, step.line),
                expected="another name",
                remedy=f"rename it in {step.file}:{step.line}, then: payoff check",
            )
        else:
            known[step.name] = step
    return tuple(known.values())


class _Pipeline:
    """Finds the steps of one module."""

    def __init__(self, reading: Reading, modules: Modules, module: Module) -> None:
        self.reading = reading
        self.module = module
        self.uses = Uses(modules)

    def steps(self) -> Iterator[Step]:
        """The steps, in the order of the file."""
        top = list(_top_level(self.module.tree.body))
        for node in top:
            if decorator := self._decorator(node):
                yield from self._step(node, decorator)
        for inner in ast.walk(self.module.tree):
            if isinstance(inner, Function) and inner not in top and self._decorator(inner):
                self._wrong(
                    "PO-P054",
                    inner,
                    f"the step {inner.name} is inside of something",
                    "a function at the top of the file",
                )

    def _wrong(self, code: str, node: ast.AST, what: str, expected: str, edit: str = "change it") -> None:
        line = getattr(node, "lineno", 0)
        file = self.module.file
        self.reading.error(
            code, what, Place(file, line), expected=expected, remedy=f"{edit} in {file}:{line}, then: payoff check"
        )

    def _decorator(self, node: Function) -> ast.expr | None:
        """The `@step` or `@step(...)` above a function."""
        for decorator in node.decorator_list:
            name = self.module.canonical(callee(decorator))
            if name == "payoff.step":
                return decorator
            if name == "step" and "step" not in self.module.bindings:
                what = f"the decorator @step above {node.name} is not imported"
                self._wrong(
                    "PO-P055", decorator, what, "from payoff import step", "add `from payoff import step` at the top"
                )
        return None

    def _step(self, node: Function, decorator: ast.expr) -> Iterator[Step]:
        options = self._options(decorator)
        before = len(self.reading.findings)
        inputs = tuple(self._inputs(node))
        parameters = self._parameters(node)
        if isinstance(node, ast.AsyncFunctionDef):
            self._wrong("PO-P042", node, f"the step {node.name} is async", "a plain function: def, not async def")
        wrong = any(each.severity == "error" for each in self.reading.findings[before:])
        try:
            code = self.uses.of(self.module, node.name, _bare(node, decorator))
        except RecursionError:
            code = Code({}, "")
            what = f"the code that {node.name} uses is nested too deeply to be followed"
            self._wrong(
                "PO-P040", node, what, "expressions of at most some hundred levels", "split the longest expression"
            )
        settings = [options.get("seed"), options.get("deterministic", True), options.get("threads")]
        if wrong:
            inputs, parameters = (), {}
        yield Step(
            name=options.get("name", node.name),
            kind="python",
            file=self.module.file,
            line=node.lineno,
            inputs=inputs,
            output=self._form(node.returns)[0],
            parameters=parameters,
            environment=options.get("environment", "default"),
            seed=settings[0],
            deterministic=settings[1],
            threads=settings[2],
            module=self.module.name,
            function=node.name,
            code=hashing.of_json(code.parts),
            parts=code.parts,
            opaque=code.opaque,
        )

    def _options(self, decorator: ast.expr) -> dict[str, Any]:
        """What stands in `@step(...)`: literals only."""
        found: dict[str, Any] = {}
        if not isinstance(decorator, ast.Call):
            return found
        if decorator.args:
            self._wrong(
                "PO-P041", decorator, "@step takes named arguments only", f"one of {', '.join(_OPTIONS)}, with ="
            )
        for keyword in decorator.keywords:
            name = keyword.arg or "**"
            if name not in _OPTIONS:
                expected = text.did_you_mean(name, _OPTIONS)
                self._wrong("PO-P041", keyword.value, f"@step has no argument {name!r}", expected)
                continue
            try:
                value = ast.literal_eval(keyword.value)
            except (ValueError, TypeError, SyntaxError, RecursionError):
                what = f"the argument {name} of @step is not written out"
                self._wrong("PO-P041", keyword.value, what, f"{_SAYS[name]}: pipelines are read, not executed")
                continue
            fits = isinstance(value, _OPTIONS[name]) and (name == "deterministic" or not isinstance(value, bool))
            if (
                not fits
                or (name == "threads" and value is not None and value < 1)
                or (name == "name" and not value.isidentifier())
            ):
                self._wrong(
                    "PO-P041", keyword.value, f"the argument {name} of @step has a value it cannot have", _SAYS[name]
                )
                continue
            found[name] = value
        return found

    def _inputs(self, node: Function) -> Iterator[Input]:
        arguments = node.args
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None:
                what = f"the step {node.name} takes any number of arguments ({extra.arg})"
                self._wrong("PO-P042", extra, what, "one parameter for each input, by its name")
        positional = [*arguments.posonlyargs, *arguments.args]
        for each in positional[len(positional) - len(arguments.defaults) :]:
            what = f"the input {each.arg} of {node.name} has a default"
            expected = "inputs have none; a parameter of the run stands behind a `*`: (..., *, max_iter: int = 200)"
            self._wrong("PO-P042", each, what, expected, f"move {each.arg} behind `*`")
        for each in positional:
            form, columns = self._form(each.annotation)
            yield Input(name=each.arg, form=form, columns=columns)

    def _parameters(self, node: Function) -> dict[str, Any]:
        found = {}
        for each, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            if default is None:
                what = f"the parameter {each.arg} of {node.name} has no default"
                self._wrong("PO-P043", each, what, "a default, as max_iter: int = 200")
                continue
            try:
                value = ast.literal_eval(default)
                msgspec.json.encode(value)
                if not _is_json(value):
                    raise TypeError
            except (ValueError, TypeError, SyntaxError, RecursionError, OverflowError):
                what = f"the default of {each.arg} of {node.name} is not written out"
                expected = "a number, text, True, False, None, or a list or dict of these (keys are text)"
                self._wrong("PO-P043", default, what, expected)
                continue
            found[each.arg] = value
        return found

    def _form(self, annotation: ast.expr | None) -> tuple[Form, tuple[str, ...] | None]:
        """The form that an annotation asks for, and the columns named in `Annotated[..., payoff.columns(...)]`."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                annotation = ast.parse(annotation.value.strip(), mode="eval").body
            except (SyntaxError, ValueError):
                return "object", None
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
            left = self._form(annotation.left)
            return left if left[0] != "object" else self._form(annotation.right)
        if isinstance(annotation, ast.Subscript):
            outer = self.module.canonical(annotation.value).rpartition(".")[2]
            parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            if outer in ("Annotated", "Optional") and parts:
                form, columns = self._form(parts[0])
                for part in parts[1:]:
                    columns = self._columns(part) or columns
                return form, columns
            return "object", None
        return FORMS.get(self.module.canonical(annotation), "object"), None

    def _columns(self, node: ast.expr) -> tuple[str, ...] | None:
        if not isinstance(node, ast.Call) or self.module.canonical(node.func) != "payoff.columns":
            return None
        try:
            names = [ast.literal_eval(each) for each in node.args]
        except (ValueError, TypeError, SyntaxError):
            names = [None]
        if not names or node.keywords or not all(isinstance(name, str) for name in names):
            self._wrong(
                "PO-P042",
                node,
                "payoff.columns takes names that are written out",
                'as payoff.columns("age", "balance")',
            )
            return None
        return tuple(names)


def _is_json(value: Any) -> bool:
    """True for what JSON gives back unchanged."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(each) for key, each in value.items())
    if isinstance(value, list):
        return all(_is_json(each) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int, bool))


def _top_level(body: list[ast.stmt]) -> Iterator[Function]:
    for node in body:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, (ast.If, ast.Try)):
            yield from _top_level(node.body)
            yield from _top_level(node.orelse)


def _bare(node: Function, decorator: ast.expr) -> ast.AST:
    """The function without what is recorded apart: the step's decorator and the parameters' defaults."""
    arguments = ast.arguments(**{**{f: getattr(node.args, f) for f in node.args._fields}, "kw_defaults": []})
    fields: dict[str, Any] = {field: getattr(node, field, None) for field in node._fields}
    fields |= {"args": arguments, "decorator_list": [each for each in node.decorator_list if each is not decorator]}
    return ast.copy_location(type(node)(**fields), node)


def _queries(reading: Reading) -> Iterator[Step]:
    """The steps in sql/*.sql."""
    for name in reading.names(SQL_FOLDER, (".sql",)):
        file = f"{SQL_FOLDER}/{name}"
        content = reading.text(file)
        if content is None:
            continue
        step = name.removesuffix(".sql")
        query = reading.remembered("sql", reading.digest(file), Query, partial(_look_into, content), decides=False)
        for code, line, what, expected in query.problems:
            reading.error(
                code,
                f"{file}: {what}",
                Place(file, line),
                expected=expected,
                remedy=f"fix {file}:{line}, then: payoff check",
            )
        if not step.isidentifier():
            reading.error(
                "PO-P045",
                f"a step cannot be named {step!r}",
                Place(file),
                expected="a name that can be a parameter of a function (letters, digits, _)",
                remedy=f"rename {file}, then: payoff check",
            )
        yield Step(
            name=step,
            kind="sql",
            file=file,
            line=1,
            inputs=tuple(Input(name=table, form="ibis") for table in query.tables),
            output="ibis",
            sql=query.text,
            code=query.digest,
            parts={file: query.digest},
        )


class Query(msgspec.Struct, frozen=True):
    """A query in a file: the text without what follows it, the tables it reads, the digest of what it means.

    `problems` are (code, line, what, expected).
    """

    text: str = ""
    tables: tuple[str, ...] = ()
    digest: str = ""
    problems: tuple[tuple[str, int, str, str], ...] = ()


def _look_into(content: str) -> Query:
    from payoff.project.pipeline import sql  # loads the SQL parser, and only a changed query needs it

    return Query(*sql.query(content))
