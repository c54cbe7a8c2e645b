"""Every error has a code of its own, says what to do, and is explained."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "payoff"
CODE = re.compile(r"PO-[A-Z]\d{3}")
FAMILY = {"PayoffError", "Refused", "UserError", "Bug", "OutsideError", "ProjectError"}


def used() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found.setdefault(node.value, set()).add(str(file.relative_to(HOUSE)))
    return found


def explained() -> dict[str, str]:
    """Code -> its explanation."""
    found = {}
    for page in (ROOT / "docs" / "errors").glob("*.md"):
        for part in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            title, _, text = part.partition("\n")
            assert CODE.match(title), f"{page.name}: {title}"
            code = title[:7]
            assert code not in found, f"{code} is explained twice"
            assert len(title) > 12, f"{code} has no title"
            found[code] = text.strip()
    return found


def test_every_code_is_explained_and_every_explanation_is_of_a_code() -> None:
    codes, pages = used(), explained()
    assert sorted(set(codes) - set(pages)) == []
    assert sorted(set(pages) - set(codes)) == []
    assert [code for code, text in pages.items() if len(text) < 8] == []


def without_remedy(source: str) -> list[int]:
    """Lines that make an error without saying what to do."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FAMILY:
            words = {keyword.arg: keyword.value for keyword in node.keywords}
            remedy = words.get("remedy")
            empty = isinstance(remedy, ast.Constant) and len(str(remedy.value)) < 4
            if None not in words and (remedy is None or empty or "code" not in words):
                found.append(node.lineno)
    return found


def test_every_error_says_what_to_do() -> None:
    said = [
        f"{file.relative_to(HOUSE)}:{line}"
        for file in sorted(HOUSE.rglob("*.py"))
        for line in without_remedy(file.read_text(encoding="utf-8"))
    ]
    assert not said, "\n".join(said)


def test_planted_errors() -> None:
    assert without_remedy("raise UserError('x', code='PO-A001')") == [1]
    assert without_remedy("raise UserError('x', code='PO-A001', remedy='')") == [1]
    assert without_remedy("raise UserError('x', remedy='payoff run')") == [1]
    assert without_remedy("raise UserError('x', code='PO-A001', remedy='payoff run')") == []


def test_an_area_has_one_letter() -> None:
    """A code's letter says where to look: each page of explanations has the letters of its area alone."""
    letters = Counter()
    for page in (ROOT / "docs" / "errors").glob("*.md"):
        for letter in {code[3] for code in CODE.findall("\n".join(re.findall(r"^## .*$", page.read_text(encoding="utf-8"), re.MULTILINE)))}:
            letters[letter] += 1
    assert {letter: count for letter, count in letters.items() if count > 1} == {}
