"""Code of two versions put together: each part as the side has it that it is taken from, and whatever it needs."""

from __future__ import annotations

import ast
import builtins
import itertools
import types
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.reproduction.splicing.splice import Unfit, splice


def run(files: dict[str, str], module: str) -> types.ModuleType:
    """Import a module of these files, as Python would."""
    made: dict[str, types.ModuleType] = {}

    def load(name: str, globals_: Any = None, locals_: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        file = next((f for f in (f"{name}.py", f"src/{name}.py") if f in files), None)
        if file is None:
            return builtins.__import__(name, globals_, locals_, fromlist, level)
        if name not in made:
            made[name] = types.ModuleType(name)
            vars(made[name])["__builtins__"] = {**vars(builtins), "__import__": load}
            exec(compile(files[file], file, "exec"), vars(made[name]))
        return made[name]

    return load(module)


class Part(NamedTuple):
    """`uses` are names of parts before it; a constant is computed when its module is imported."""

    constant: bool
    number: int
    uses: tuple[str, ...]


PARTS = [f"p{n}" for n in range(6)]
HOME = {name: "one" if n % 2 else "two" for n, name in enumerate(PARTS)}


@st.composite
def versions(draw: st.DrawFn) -> dict[str, Part]:
    names = draw(st.sets(st.sampled_from(PARTS), min_size=1))
    found: dict[str, Part] = {}
    for name in PARTS:
        if name in names:
            # Module `one` may use `two`, not the other way round: two modules that import each other fail in Python itself.
            before = [each for each in found if HOME[name] == "one" or HOME[each] == "two"]
            uses = tuple(sorted(draw(st.sets(st.sampled_from(before))))) if before else ()
            found[name] = Part(draw(st.booleans()), draw(st.integers(0, 3)), uses)
    return found


def written(version: dict[str, Part], style: int) -> dict[str, str]:
    """The version as two modules; `style` says how they import each other."""
    files = {}
    for module in ("one", "two"):
        own = [name for name in version if HOME[name] == module]
        foreign = sorted({u for name in own for u in version[name].uses if HOME[u] != module})
        lines = [f'"""Module {module}."""', "import math"]
        if foreign:
            lines += ["import two"] if style == 0 else [f"from two import {', '.join(foreign)}"] if style == 1 else [f"from two import {f} as {f}" for f in foreign]
        for name in own:
            part = version[name]
            terms = [str(part.number)]
            for use in part.uses:
                far = f"two.{use}" if HOME[use] != module and style == 0 else use
                terms.append(far if version[use].constant else f"{far}()")
            sum_ = " + ".join(f"math.floor({term})" for term in terms)
            if part.constant:
                lines += [f"{name} = {sum_}  # a constant"]
            else:
                lines += ["", f"def {name}():", f"    # {name}", f"    return ({sum_})"]
        files[f"{module}.py"] = "\n".join(lines) + "\n"
    return files


def digest(files: dict[str, str], name: str) -> str:
    tree = ast.parse(files[f"{HOME[name]}.py"])
    return "".join(ast.dump(each) for each in tree.body if name in {getattr(each, "name", ""), *(t.id for t in getattr(each, "targets", ()))})


def value(name: str, sides: dict[str, Part]) -> int:
    part = sides[name]
    return part.number + sum(value(each, sides) for each in part.uses)


@given(versions(), versions(), st.integers(0, 2), st.data())
def test_each_part_is_as_its_side_has_it(a: dict[str, Part], b: dict[str, Part], style: int, data: st.DataObject) -> None:
    # A name that is a constant in one version and a function in the other is called by those who expect the other: that is B's doing, not ours.
    b = {name: part._replace(constant=a[name].constant) if name in a else part for name, part in b.items()}
    ours, theirs = written(a, style), written(b, style)
    changed = [f"{HOME[name]}.{name}" for name in PARTS if digest(ours, name) != digest(theirs, name)]
    taken = data.draw(st.sets(st.sampled_from(changed))) if changed else set()
    files = splice(ours, theirs, taken, changed)
    sides = {**b, **a} | {name: b[name] for name in b if f"{HOME[name]}.{name}" in taken}
    for name in a if taken != set(changed) else b:
        module = run(files, HOME[name])
        found = getattr(module, name)
        assert (found if sides[name].constant else found()) == value(name, sides), "\n\n".join(files.values())
    if not taken:
        assert files == ours
    if taken == set(changed):
        assert files == theirs


@given(versions(), versions(), st.data())
def test_the_same_choice_is_the_same_text(a: dict[str, Part], b: dict[str, Part], data: st.DataObject) -> None:
    ours, theirs = written(a, 1), written(b, 1)
    changed = [f"{HOME[name]}.{name}" for name in PARTS if digest(ours, name) != digest(theirs, name)]
    taken = data.draw(st.lists(st.sampled_from(changed), unique=True)) if changed else []
    assert splice(ours, theirs, taken, changed) == splice(ours, theirs, taken[::-1], changed[::-1])


def mixed(a: str, b: str, taken: list[str], changed: list[str]) -> str:
    files = splice({"m.py": a}, {"m.py": b}, [f"m.{t}" for t in taken], [f"m.{c}" for c in changed])
    return files["m.py"]


def test_a_step_keeps_its_settings() -> None:
    a = "from payoff import step\n\n@step(seed=7)\ndef model(train, *, alpha=1):\n    return train\n\ndef f(): return 1\n"
    b = "from payoff import step\n\n@step(seed=8, threads=1)\ndef model(train, *, alpha=2):\n    return train + 1\n\ndef f(): return 2\n"
    text = mixed(a, b, ["model"], ["model", "f"])
    assert "@step(seed=7)" in text
    assert "train + 1" in text
    assert "return 1" in text


def test_what_a_part_needs_comes_along() -> None:
    a = "import math\n\ndef f(x):\n    return x\n\ndef g(x):\n    return x\n"
    b = "import math\nimport json as j\nfrom os import path\nK = math.pi\n\ndef helper(x):\n    return j.dumps(x) + str(K)\n\ndef f(x):\n    return helper(x) + path.sep\n\ndef g(x):\n    return 2\n"
    module = run(splice({"m.py": a}, {"m.py": b}, ["m.f"], ["m.f", "m.g", "m.helper", "m.K"]), "m")
    assert module.f(1) == "13.141592653589793/"
    assert module.g(1) == 1


def test_an_import_is_a_part_of_its_own() -> None:
    a = "from math import floor as cut\n\ndef f(x):\n    return cut(x)\n\ndef g():\n    return 1\n"
    b = "from math import ceil as cut\n\ndef f(x):\n    return cut(x) + 10\n\ndef g():\n    return 2\n"
    changed = ["m.cut", "m.f", "m.g"]
    assert run(splice({"m.py": a}, {"m.py": b}, ["m.cut"], changed), "m").f(1.5) == 2
    assert run(splice({"m.py": a}, {"m.py": b}, ["m.f"], changed), "m").f(1.5) == 11
    assert run(splice({"m.py": a}, {"m.py": b}, ["m.f", "m.cut"], changed), "m").f(1.5) == 12


def test_a_function_that_moved_is_found_where_it_is() -> None:
    a = {"old.py": "def f():\n    return 1\n", "m.py": "from old import f\n\ndef g():\n    return f()\n\ndef h():\n    return 1\n"}
    b = {"old.py": "", "new.py": "def f():\n    return 2\n", "m.py": "from new import f\n\ndef g():\n    return f()\n\ndef h():\n    return 2\n"}
    changed = ["old.f", "new.f", "m.h"]
    for taken in itertools.chain.from_iterable(itertools.combinations(changed, n) for n in range(4)):
        module = run(splice(a, b, taken, changed), "m")
        assert module.g() == (2 if "new.f" in taken else 1)
        assert module.h() == (2 if "m.h" in taken else 1)


def test_statements_that_act_are_taken_together() -> None:
    a = "KNOWN = []\nKNOWN.append(1)\n\ndef f():\n    return KNOWN\n\ndef g():\n    return 1\n"
    b = "KNOWN = []\nKNOWN.append(2)\nKNOWN.append(3)\n\ndef f():\n    return KNOWN\n\ndef g():\n    return 2\n"
    changed = ["m (statements)", "m.g"]
    module = run(splice({"m.py": a}, {"m.py": b}, ["m (statements)"], changed), "m")
    assert (module.f(), module.g()) == ([2, 3], 1)
    module = run(splice({"m.py": a}, {"m.py": b}, ["m.g"], changed), "m")
    assert (module.f(), module.g()) == ([1], 2)


def test_names_that_one_statement_makes_are_not_parted() -> None:
    a = "x, y = 1, 2\n\ndef g():\n    return 1\n"
    b = "x, y = 3, 4\n\ndef g():\n    return 2\n"
    with pytest.raises(Unfit, match=r"m\.y and m\.x"):
        mixed(a, b, ["x"], ["x", "y", "g"])
    text = mixed(a, b, ["x", "y"], ["x", "y", "g"])
    assert "x, y = 3, 4" in text
    assert "return 1" in text


def test_a_definition_that_is_gone_stays_for_those_who_use_it() -> None:
    a = "def helper():\n    return 1\n\ndef f():\n    return helper()\n\ndef g():\n    return 1\n"
    b = "def f():\n    return 5\n\ndef g():\n    return 2\n"
    assert run(splice({"m.py": a}, {"m.py": b}, ["m.helper"], ["m.helper", "m.f", "m.g"]), "m").f() == 1


def test_queries_are_taken_whole() -> None:
    a = {"sql/x.sql": "select 1", "sql/y.sql": "select 1", "m.py": "def f(): return 1\n"}
    b = {"sql/x.sql": "select 2", "sql/z.sql": "select 3", "m.py": "def f(): return 2\n"}
    changed = ["sql/x.sql", "sql/y.sql", "sql/z.sql", "m.f"]
    assert splice(a, b, ["sql/x.sql"], changed) == {**a, "sql/x.sql": "select 2"}
    assert splice(a, b, ["sql/y.sql", "sql/z.sql"], changed) == {"sql/x.sql": "select 1", "sql/z.sql": "select 3", "m.py": a["m.py"]}


def test_a_part_of_no_module_is_unfit() -> None:
    with pytest.raises(Unfit, match="in no module"):
        splice({"m.py": "x = 1\n"}, {"m.py": "x = 2\n"}, ["nowhere.x"], ["nowhere.x", "m.x"])


def test_two_statements_on_a_line_and_odd_texts() -> None:
    a = "import os; x = 1; y = 1\n\nclass C:\n    '''doc'''\n    def m(self): return x\n\nT = '''\n  text\n'''\n"
    b = "import os; x = 2; y = 2\n\nclass C:\n    '''doc'''\n    def m(self): return x * 10\n\nT = '''\n  other\n'''\n"
    changed = ["m.x", "m.y", "m.C", "m.T"]
    module = run(splice({"m.py": a}, {"m.py": b}, ["m.x", "m.T"], changed), "m")
    assert (module.x, module.y, module.C().m(), module.T) == (2, 1, 2, "\n  other\n")


def test_a_declared_join_is_taken_over_by_itself() -> None:
    a = 'from payoff import as_of, facts, step\njoined = as_of("c", at="t", u=facts(valid="m", columns=["v"], prefix="a_"))\n@step\ndef examples(joined): return joined\n'
    b = a.replace('"a_"', '"b_"').replace("return joined", "return joined.head()")
    changed = ["pipeline.joined", "pipeline.examples"]
    assert splice({"pipeline.py": a}, {"pipeline.py": b}, changed[:1], changed) == {"pipeline.py": a.replace('"a_"', '"b_"')}
