"""What makes a step stale: the code it uses, however far away, and nothing else."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payoff.project.files import Reading
from payoff.project.pipeline.steps import read

if TYPE_CHECKING:
    from payoff.records.project import Step

PIPELINE = """
    import numpy as np
    from payoff import step
    from lib import near
    LIMIT = 3
    OTHER = 4

    @step(seed=1)
    def model(train, *, n: int = 5):
        return near.middle(train) + LIMIT
"""
FILES = {
    "pipeline.py": PIPELINE,
    "lib/near.py": "from lib.deep import far\ndef middle(x):\n    return far(x) * 2\ndef unused(x):\n    return x\n",
    "lib/deep.py": "SCALE = 2\ndef far(x):\n    return x + SCALE\ndef unused():\n    return 1\n",
}


def step(root: Path, files: dict[str, str]) -> Step:
    """The step `model` of a project made of these files."""
    for file, content in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content), encoding="utf-8")
    reading = Reading(root)
    found = {each.name: each for each in read(reading, "")}
    assert reading.findings == []
    return found["model"]


def changed(root: Path, files: dict[str, str], file: str, old: str, new: str) -> bool:
    """Whether a change of one file makes the step stale."""
    before = step(root / "a", files)
    content = textwrap.dedent(files[file])
    assert old in content
    after = step(root / "b", {**files, file: content.replace(old, new, 1)})
    assert (before.code == after.code) == (before.parts == after.parts)
    return before.code != after.code


def test_the_parts_are_named(tmp_path: Path) -> None:
    found = step(tmp_path, FILES)
    assert list(found.parts)[0] == "pipeline.model"
    assert set(found.parts) == {
        "pipeline.model",
        "pipeline.LIMIT",
        "lib.near.middle",
        "lib.deep.far",
        "lib.deep.SCALE",
    }
    assert found.opaque == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("pipeline.py", "LIMIT = 3", "LIMIT = 4", True),
        ("pipeline.py", "OTHER = 4", "OTHER = 5", False),
        ("pipeline.py", "seed=1", "seed=2", False),
        ("pipeline.py", "n: int = 5", "n: int = 6", False),
        ("pipeline.py", "n: int = 5", "m: int = 5", True),
        ("pipeline.py", "import numpy as np", "import numpy as np  # fast", False),
        ("lib/near.py", "* 2", "* 3", True),
        ("lib/near.py", "return x\n", "return -x\n", False),
        ("lib/near.py", "from lib.deep import far", "from .deep import far", False),
        ("lib/near.py", "from lib.deep import far", "from lib.deep import unused as far", True),
        ("lib/deep.py", "SCALE = 2", "SCALE = 3", True),
        ("lib/deep.py", "SCALE = 2", 'SCALE = 2\n"""About far."""', False),
        ("lib/deep.py", "x + SCALE", "(x  +  SCALE)  # sum", False),
        ("lib/deep.py", "def far(x):\n", 'def far(x):\n    """Far away."""\n', False),
        ("lib/deep.py", "return 1", "return 2", False),
        ("lib/deep.py", "SCALE = 2", "print('side effect')\nSCALE = 2", True),
        ("lib/deep.py", "SCALE = 2", "SCALE = 2\nSCALE += 1", True),
        ("lib/deep.py", "SCALE = 2", "SCALE = 2\nif __name__ == '__main__':\n    print(far(1))", False),
    ],
)
def test_what_makes_a_step_stale(tmp_path: Path, file: str, old: str, new: str, stale: bool) -> None:
    assert changed(tmp_path, FILES, file, old, new) is stale


def with_model(body: str, **modules: str) -> dict[str, str]:
    """A project whose step has this body."""
    head = "from payoff import step\n"
    return {
        "pipeline.py": head + textwrap.dedent(body),
        **{f"{name.replace('__', '/')}.py": text for name, text in modules.items()},
    }


STEP = "@step\ndef model(train):\n    return "
VALUE = "def f():\n    return 1\ndef g():\n    return 2\n"


@pytest.mark.parametrize(
    ("pipeline", "part"),
    [
        ("import lib.h as h\n" + STEP + "h.f()", "lib.h.f"),
        ("import lib.h\n" + STEP + "lib.h.f()", "lib.h.f"),
        ("from lib import h\n" + STEP + "h.f()", "lib.h.f"),
        ("from lib.h import f\n" + STEP + "f()", "lib.h.f"),
        ("from lib.h import f as ff\n" + STEP + "map(ff, train)", "lib.h.f"),
        ("@step\ndef model(train):\n    from lib.h import f\n    return f()", "lib.h.f"),
        (
            "@step\ndef model(train):\n    import lib.h as h\n    def inner():\n        return h.f()\n    return inner()",
            "lib.h.f",
        ),
        ("import lib.h as h\n" + STEP + "[h.f() for x in train]", "lib.h.f"),
        ("import lib.h as h\n" + STEP + "(lambda: h.f())()", "lib.h.f"),
        ("import lib.h as h\n" + STEP + "getattr(h, 'f')()", "lib.h.f"),
        ("import importlib\n" + STEP + "importlib.import_module('lib.h').f()", "lib.h.f"),
        ("import lib.h as h\n@h.f\n@step\ndef model(train): return 1", "lib.h.f"),
        ("import lib.h as h\nclass C(h.f):\n    pass\n" + STEP + "C()", "lib.h.f"),
        ("import lib.h as h\nclass C:\n    def m(self, x=h.f): return x\n" + STEP + "C()", "lib.h.f"),
        ("import lib.h as h\nX = {'a': h.f}\n" + STEP + "X", "lib.h.f"),
        ("import lib.h as h\nX: int = h.f()\n" + STEP + "X", "lib.h.f"),
        ("try:\n    from lib.h import f\nexcept ImportError:\n    f = None\n" + STEP + "f()", "lib.h.f"),
        (
            "import lib.h as h\nif True:\n    def k(): return h.f()\nelse:\n    def k(): return 0\n" + STEP + "k()",
            "lib.h.f",
        ),
        (
            "import lib.h as h\ndef k():\n    return h.f()\ndef model_(): pass\n@step\ndef model(train):\n    for k2 in [k]: k2()",
            "lib.h.f",
        ),
        ("from lib import reexport\n" + STEP + "reexport()", "lib.h.f"),
        ("from lib import *\n" + STEP + "reexport()", "lib.h.f"),
        ("import lib.registry as r\n" + STEP + "r.ALL['x']()", "lib.h.f"),
    ],
)
def test_ways_to_use_a_function(tmp_path: Path, pipeline: str, part: str) -> None:
    files = with_model(
        pipeline,
        lib____init__="",
        lib__h=VALUE,
        lib__registry="from lib.h import f\nALL = {}\ndef add(g):\n    ALL['x'] = g\n    return g\n@add\ndef registered():\n    return f()\n",
    )
    files["lib/__init__.py"] = "from lib.h import f as reexport\n"
    found = step(tmp_path / "p", files)
    assert part in found.parts
    assert changed(tmp_path, files, "lib/h.py", "return 1", "return 3")
    whole = "lib.h.g" in found.parts
    assert whole is bool(found.opaque) or "importlib" in pipeline or "*" in pipeline
    assert changed(tmp_path, files, "lib/h.py", "return 2", "return 3") is whole


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ("import lib.h as h\n" + STEP + "getattr(h, train)()", "as a value"),
        ("import lib.h as h\n" + STEP + "vars(h)", "as a value"),
        ("import lib.h as h\n" + STEP + "h.missing()", "made at run time"),
        ("import importlib\n" + STEP + "importlib.import_module(train).f()", "at run time"),
        (STEP + "__import__(train)", "at run time"),
        ("import sys\n" + STEP + "sys.modules[train]", "at run time"),
        ("import lib.h\ndef other(): return lib.h.g()\n" + STEP + "globals()[train]()", "at run time"),
        ("import lib.h\ndef other(): return lib.h.g()\n" + STEP + "eval(train)", "at run time"),
        ("from lib.h import *\n" + STEP + "g()", "takes all names"),
    ],
)
def test_dynamic_code_is_opaque(tmp_path: Path, pipeline: str, reason: str) -> None:
    files = with_model(pipeline, lib__h=VALUE)
    assert reason in step(tmp_path / "p", files).opaque
    assert changed(tmp_path, files, "lib/h.py", "return 2", "return 3")


@pytest.mark.parametrize(
    "pipeline",
    [
        "def examples(): return 1\n@step\ndef model(examples): return examples + 1",
        "def x(): return 1\n" + STEP + "[x for x in train]",
        "def x(): return 1\n" + STEP + "(lambda x: x)(2)",
        "def x(): return 1\n@step\ndef model(train):\n    x = 3\n    def inner(): return x\n    return inner()",
        "def x(): return 1\n@step\ndef model(train):\n    with open('f') as x: return x",
        "def x(): return 1\n@step\ndef model(train):\n    try: pass\n    except E as x: return x",
    ],
)
def test_a_local_name_is_not_the_modules(tmp_path: Path, pipeline: str) -> None:
    files = with_model(pipeline)
    assert not changed(tmp_path, files, "pipeline.py", "return 1", "return 2")


@pytest.mark.parametrize(
    "pipeline",
    [
        "x = 1\n@step\ndef model(train):\n    def inner():\n        global x\n        return x\n    return inner()",
        "x = 1\n@step\ndef model(train):\n    y = [x for x in train]\n    return x",
        "x = 1\n@step\ndef model(train):\n    class C:\n        def m(self): return x\n    return C()",
        "x = 1\n@step\ndef model(train):\n    return f'{x:>{x}}'",
        "x = 1\n@step\ndef model(train):\n    match train:\n        case [a] if a > x: return a",
        "x = 1\n@step\ndef model(train, *, n=0):\n    return (y := x) + y",
        "x = 1\nX = dict(a=x)\n@step\ndef model(train):\n    return X['a']",
        "CONFIG = {}\nCONFIG['a'] = 1\n@step\ndef model(train):\n    return CONFIG['a']",
        "import os\nos.environ['X'] = '= 1'\n@step\ndef model(train):\n    return 0",
    ],
)
def test_a_global_name_is(tmp_path: Path, pipeline: str) -> None:
    files = with_model(pipeline)
    assert changed(tmp_path, files, "pipeline.py", "= 1", "= 2")


def test_another_package_under_the_same_name(tmp_path: Path) -> None:
    files = with_model("import numpy as np\n" + STEP + "np.sum(train)")
    assert changed(tmp_path, files, "pipeline.py", "import numpy as np", "import cupy as np")


def test_modules_that_import_each_other(tmp_path: Path) -> None:
    files = with_model(
        "from lib.a import f\n" + STEP + "f()",
        lib__a="from lib import b\ndef f():\n    return b.g()\n",
        lib__b="import lib.a\ndef g():\n    return 1\ndef h():\n    return lib.a.f()\n",
    )
    assert changed(tmp_path, files, "lib/b.py", "return 1", "return 2")


@pytest.mark.parametrize("line", ["from lib import near", "from . import near", "import lib.near as near"])
def test_a_package_that_imports_its_own_module(tmp_path: Path, line: str) -> None:
    files = {**FILES, "lib/__init__.py": f"{line}\ndef all_of(x):\n    return near.middle(x)\n"}
    parts = step(tmp_path / "a", files).parts
    assert {"lib.near.middle", "lib.deep.far", "lib.deep.SCALE"} <= parts.keys()
    assert "lib.near.unused" not in parts
    files["pipeline.py"] = PIPELINE.replace("from lib import near", "from lib import all_of").replace("near.middle(train)", "all_of(train)")
    assert {"lib.all_of", "lib.near.middle", "lib.deep.far"} <= step(tmp_path / "b", files).parts.keys()


def test_imports_for_their_side_effect(tmp_path: Path) -> None:
    files = with_model("import lib.patch\n" + STEP + "1", lib__patch="import json\njson.dumps = lambda x: 1\n")
    assert changed(tmp_path, files, "lib/patch.py", "x: 1", "x: 2")


def test_a_package_in_src(tmp_path: Path) -> None:
    files = with_model("from churn.h import f\n" + STEP + "f()")
    files["src/churn/__init__.py"] = "\n"
    files["src/churn/h.py"] = VALUE
    assert changed(tmp_path, files, "src/churn/h.py", "return 1", "return 2")
    assert not changed(tmp_path / "x", files, "src/churn/h.py", "return 2", "return 3")


# Any program, spelled in any way, has the same digest; another program has another one.
names = st.sampled_from(["a", "b", "c"])
expressions = st.recursive(
    st.one_of(st.integers(0, 3).map(str), names, st.sampled_from(["'t'", "None", "1.5", "(1, 2)", "[x for x in a]"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "<", "and"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda e: f"f({e}, k={e})"),
        st.tuples(inner, inner).map(lambda p: f"{{{p[0]}: {p[1]}}}"),
    ),
    max_leaves=5,
)
statements = st.one_of(
    st.tuples(names, expressions).map(lambda p: f"{p[0]} = {p[1]}"),
    expressions.map(lambda e: f"return {e}"),
    st.tuples(expressions, expressions).map(lambda p: f"if {p[0]}:\n    a = {p[1]}"),
)


def spelled_differently(body: str, draw: st.DataObject) -> str:
    """The same program: other line breaks, brackets, blank lines, comments and docstrings."""
    tree = ast.parse(body)
    text = ast.unparse(tree) if draw.draw(st.booleans()) else body
    lines = []
    for line in text.splitlines():
        if draw.draw(st.booleans()):
            indent = " " * (len(line) - len(line.lstrip()))
            lines.append(f"{indent}# {draw.draw(st.sampled_from(['why', 'x = 1', 'TODO']))}")
        lines.append(line + draw.draw(st.sampled_from(["", "  # here", "   "])))
        lines += [""] * draw.draw(st.integers(0, 1))
    return "\n".join(lines)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(statements, min_size=1, max_size=3), st.lists(statements, min_size=1, max_size=3), st.data())
def test_spelling_does_not_matter_and_meaning_does(
    tmp_path_factory: pytest.TempPathFactory, one: list[str], other: list[str], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("p")

    def helper(body: list[str], doc: str = "") -> str:
        return "def far(x):\n" + textwrap.indent(doc + "\n".join(body), "    ") + "\n"

    first = step(root / "a", {**FILES, "lib/deep.py": helper(one)})
    doc = data.draw(st.sampled_from(["", '"""Says what it does."""\n', "'other words'\n"]))
    respelled = spelled_differently(helper(one, doc), data)
    assert step(root / "b", {**FILES, "lib/deep.py": respelled}).code == first.code
    same = ast.dump(ast.parse(helper(one))) == ast.dump(ast.parse(helper(other)))
    assert (step(root / "c", {**FILES, "lib/deep.py": helper(other)}).code == first.code) == same
