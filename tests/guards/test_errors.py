"""Every error has a code of its own, says what to do, and is explained."""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "payoff"
PAGES = ROOT / "docs" / "errors"
CODE = re.compile(r"PO-[A-Z]\d{3}")
# Files outside the control process, where no reader of codes listens: they tell the control process, which has a code for it.
ELSEWHERE = ("worker/", "testing/", "templates/", "__init__.py", "adapters/trackers/mlflow/loader.py")
# Errors without a code, each with its reason. May only get shorter.
UNCODED = {
    "value/intervals.py:ValueError": "a caller's mistake in arithmetic; the command line reports it as a defect",
    "value/looks.py:ValueError": "a caller's mistake in arithmetic; the command line reports it as a defect",
    "flows/run.py:KeyboardInterrupt": "ctrl-C that the steps had noticed first",
    "cli/run.py:KeyboardInterrupt": "ctrl-C that the flow had noticed first",
    "project/pipeline/steps.py:TypeError": "caught six lines below",
    "base/lazy.py:ModuleNotFoundError": "what an import says to pyarrow, which goes on without",
}
# What an explanation that says what to do has: a thing to type, a code to look up, or a verb that asks for something.
TO_DO = re.compile(
    r"`|PO-[A-Z]\d{3}|\b(?:add|check|choose|close|collect|convert|correct|free|give|go|hold|install|leave|make|mend|move|name|"
    r"prefer|put|remove|rename|repeat|report|restore|return|run|see|set|shorten|start|take|train|try|trying|turn|use|wait|write)\b",
    re.IGNORECASE,
)


# What the guards look at: all else of a file is left out once, as it would be gone through again by each of them.
LOOKED_AT = ast.ClassDef | ast.Raise | ast.Call | ast.Constant


@functools.cache
def parsed(source: str) -> list[ast.AST]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, LOOKED_AT)]


def modules(house: Path) -> list[tuple[str, list[ast.AST]]]:
    """The parts of each file that the guards look at."""
    return [(file.relative_to(house).as_posix(), parsed(file.read_text(encoding="utf-8"))) for file in sorted(house.rglob("*.py"))]


def codes(house: Path) -> set[str]:
    """Every code that stands in the house as a text of its own."""
    return {
        node.value
        for _, module in modules(house)
        for node in module
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }


def sections(folder: Path) -> list[tuple[str, str, str]]:
    """Page, title and text of each explanation."""
    return [
        (page.name, title, text.strip())
        for page in sorted(folder.glob("*.md"))
        for part in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        for title, _, text in [part.partition("\n")]
    ]


def badly_explained(folder: Path) -> list[str]:
    """Sections without code or title, codes that are explained twice, letters of two pages, explanations that say nothing to do."""
    said, seen, pages = [], Counter(), {}
    for page, title, text in sections(folder):
        if not re.match(CODE.pattern + r" \S.{4,}", title):
            said.append(f"{page}: {title!r} is no code with a title")
            continue
        seen[title[:7]] += 1
        pages.setdefault(title[3], set()).add(page)
        if len(text) < 30 or not TO_DO.search(text):
            said.append(f"{page}: {title[:7]} does not say what to do")
    known = set(seen)
    for page, title, text in sections(folder):
        said += [f"{page}: {title[:7]} leads to {code}, which is not there" for code in CODE.findall(text) if code not in known]
    said += [f"{code} is explained {count} times" for code, count in seen.items() if count > 1]
    return said + [f"the letter {letter} is on {len(on)} pages" for letter, on in pages.items() if len(on) > 1]


def unmatched(house: Path, folder: Path) -> list[str]:
    """Codes without an explanation and explanations without a code."""
    used, explained = codes(house), {title[:7] for _, title, _ in sections(folder)}
    return [f"{code} is not explained" for code in sorted(used - explained)] + [
        f"{code} is explained, but nothing says it" for code in sorted(explained - used)
    ]


def family(house: Path) -> dict[str, str]:
    """Each class of errors of ours -> the one of the four that gives its exit code; classes that say their own code and remedy too."""
    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for _, module in modules(house)
        for node in module
        if isinstance(node, ast.ClassDef)
    }
    roots = ("Refused", "UserError", "Bug", "OutsideError", "PayoffError")
    found = {name: name for name in roots}
    for _ in bases:
        for name, above in bases.items():
            for base in above:
                if base in found and name not in found:
                    found[name] = found[base]
    return found


def unhelpful(house: Path) -> list[str]:
    """Places that make an error without its code or without saying what to do."""
    kin, said = family(house), []
    complete = {
        node.name
        for name, module in modules(house)
        for node in module
        if isinstance(node, ast.ClassDef) and node.name in kin and node.name != "PayoffError"
        and any(isinstance(each, ast.FunctionDef) and each.name == "__init__" for each in node.body)
    } - {"OutsideError"}  # fmt: skip
    for name, module in modules(house):
        for node in module:
            ours = isinstance(node, ast.Call) and last(node.func) in kin and last(node.func) not in complete
            if ours or (isinstance(node, ast.Call) and last(node.func) == "__init__" and in_family(module, node, kin)):
                said += [f"{name}:{node.lineno}: {fault}" for fault in faults(node)]
    return said


def last(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def in_family(module: list[ast.AST], call: ast.Call, kin: dict[str, str]) -> bool:
    """True for `super().__init__(...)` inside of one of our errors."""
    if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call) and last(call.func.value.func) == "super"):
        return False
    return any(
        isinstance(node, ast.ClassDef) and node.name in kin and node.name != "PayoffError" and call in ast.walk(node)
        for node in module
    )


def faults(call: ast.Call) -> list[str]:
    words = {keyword.arg: keyword.value for keyword in call.keywords}
    if None in words:
        return []
    said = [f"no {word}" for word in ("code", "remedy") if word not in words]
    remedy = words.get("remedy")
    if isinstance(remedy, ast.Constant) and len(str(remedy.value).strip()) < 4:
        said.append("an empty remedy")
    code = words.get("code")
    if isinstance(code, ast.Constant) and not CODE.fullmatch(str(code.value)):
        said.append(f"{code.value!r} is no code")
    return said


def two_exits(house: Path) -> list[str]:
    """Codes that end the program now with one exit code, now with another."""
    kin, exits = family(house), {}
    for _, module in modules(house):
        for node in module:
            if isinstance(node, ast.Call) and last(node.func) in kin:
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        exits.setdefault(keyword.value.value, set()).add(kin[last(node.func)])
    return [f"{code}: {', '.join(sorted(kinds))}" for code, kinds in exits.items() if len(kinds) > 1]


def uncoded(house: Path) -> set[str]:
    """Errors of Python's own that the control process raises: the user would see a traceback instead of what to do."""
    found = set()
    for name, module in modules(house):
        for node in module:
            if isinstance(node, ast.Raise) and node.exc is not None and not name.startswith(ELSEWHERE):
                raised = last(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
                kind = getattr(builtins, raised, None)
                if isinstance(kind, type) and issubclass(kind, BaseException):
                    found.add(f"{name}:{raised}")
    return found


def test_every_code_is_explained_and_every_explanation_is_of_a_code() -> None:
    assert len(codes(HOUSE)) > 100
    assert unmatched(HOUSE, PAGES) == []


def test_explanations_say_what_to_do() -> None:
    said = badly_explained(PAGES)
    assert not said, "\n".join(said)


def test_every_error_says_what_to_do() -> None:
    said = unhelpful(HOUSE)
    assert not said, "\n".join(said)


def test_a_code_has_one_exit_code() -> None:
    assert two_exits(HOUSE) == []


def test_the_user_sees_no_error_without_a_code() -> None:
    found = uncoded(HOUSE)
    assert sorted(found - UNCODED.keys()) == []
    assert sorted(UNCODED.keys() - found) == [], "no longer needed"


def planted(folder: Path, source: str, page: str = "") -> Path:
    (folder / "planted").mkdir(exist_ok=True)
    (folder / "planted" / "errors.py").write_text("class PayoffError(Exception): ...\nclass UserError(PayoffError): ...\n")
    (folder / "planted" / "more.py").write_text(source)
    (folder / "planted" / "area.md").write_text(page)
    return folder / "planted"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("raise UserError('x', code='PO-A001')", 1),
        ("raise UserError('x', code='PO-A001', remedy='')", 1),
        ("raise UserError('x', remedy='payoff run')", 1),
        ("raise UserError('x', code='A1', remedy='payoff run')", 1),
        ("raise errors.UserError('x', code='PO-A001')", 1),
        ("class Own(UserError): ...\nraise Own('x', code='PO-A001')", 1),
        ("class Own(UserError):\n def __init__(self): super().__init__('x', code='PO-A001')\nraise Own()", 1),
        ("raise UserError('x', code='PO-A001', remedy='payoff run')", 0),
        ("raise UserError('x', **rest)", 0),
        ("class Own(UserError):\n def __init__(self): super().__init__('x', code='PO-A001', remedy='wait')\nraise Own()", 0),
        ("class Own(ValueError):\n def __init__(self): super().__init__('x')\nraise Own()", 0),
    ],
)
def test_a_planted_error_without_help_is_found(tmp_path: Path, source: str, count: int) -> None:
    assert len(unhelpful(planted(tmp_path, source))) == count


@pytest.mark.parametrize(
    ("source", "page", "said"),
    [
        ("x = 'PO-A001'", "", ["PO-A001 is not explained"]),
        ("", "## PO-A001 Title\nWords.", ["PO-A001 is explained, but nothing says it"]),
        ("x = 'PO-A001'", "## PO-A001 Title\nWords.", []),
        ("x = 'see PO-A002'", "", []),
    ],
)
def test_a_planted_code_is_found(tmp_path: Path, source: str, page: str, said: list[str]) -> None:
    folder = planted(tmp_path, source, page)
    assert unmatched(folder, folder) == said


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("## PO-A001 Nothing to do\nIt is like that here, and it has always been.", "does not say"),
        ("## PO-A001 Short one\nRun again.", "does not say"),
        ("## Some title\nRun `payoff run`, which mends all of it.", "no code"),
        ("## PO-A001 A title\nRun `payoff run`, and see PO-A002.", "PO-A002, which is not there"),
        ("## PO-A001 A title\nRun `payoff run`, which mends it.\n## PO-A001 A title\nRun `payoff run`, which mends it.", "2 times"),
        ("## PO-A001 A title\nRun `payoff run`, which mends all of it.", ""),
    ],
)
def test_a_planted_page_is_found(tmp_path: Path, page: str, fault: str) -> None:
    said = badly_explained(planted(tmp_path, "", page))
    assert len(said) == bool(fault)
    assert fault in "".join(said)


def test_a_planted_letter_on_two_pages_is_found(tmp_path: Path) -> None:
    folder = planted(tmp_path, "", "## PO-A001 A title\nRun `payoff run`, which mends it.")
    (folder / "other.md").write_text("## PO-A002 A title\nRun `payoff run`, which mends it.")
    assert badly_explained(folder) == ["the letter A is on 2 pages"]


def test_planted_exits_and_foreign_errors_are_found(tmp_path: Path) -> None:
    help = "remedy='payoff run'"
    both = f"UserError('x', code='PO-A001', {help})\nPayoffError('x', code='PO-A001', {help})"
    assert two_exits(planted(tmp_path, both)) == ["PO-A001: PayoffError, UserError"]
    folder = planted(tmp_path, f"raise ValueError('x')\nraise UserError('x', code='PO-A001', {help})\nraise problem")
    assert two_exits(folder) == []
    assert uncoded(folder) == {"more.py:ValueError"}
