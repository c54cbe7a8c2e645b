"""The line of every key in a TOML file."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.project.toml import Document, locate

TEXT = '''\
title = "x # not a comment"   # a comment with [brackets] and = signs
multi = """
[not.a.section]
key = 1 \\""" still inside
""""
raw = \'\'\'
a = "b\'\'\'
[owner] # here
name.first = 1
"quoted key"."dotted.inside" = { a = 1, b = { c = [1, { d = 2 }] } }
'single' = [
  # comment ] here
  "a]", # another
  { deep = true },
]
when = 2026-06-01T10:00:00Z
[[points]]
x = 1
[points.sub]
z = 1
[[points]]
x = 2
[a . b]
 c = 1
'''


def test_a_file_with_everything() -> None:
    lines = locate(TEXT)
    assert lines[("title",)] == 1
    assert lines[("multi",)] == 2
    assert ("not",) not in lines
    assert lines[("raw",)] == 6
    assert lines[("owner",)] == 8
    assert lines[("owner", "name", "first")] == 9
    assert lines[("owner", "quoted key", "dotted.inside", "b", "c", 1, "d")] == 10
    assert lines[("owner", "single")] == 11
    assert lines[("owner", "single", 0)] == 13
    assert lines[("owner", "single", 1, "deep")] == 14
    assert lines[("owner", "when")] == 16
    assert lines[("points", 0, "x")] == 18
    assert lines[("points", 0, "sub", "z")] == 20
    assert lines[("points", 1)] == 21
    assert lines[("points", 1, "x")] == 22
    assert lines[("a", "b", "c")] == 24


def test_what_is_not_written_has_the_line_of_what_is_around_it() -> None:
    document = Document("f.toml", "\n[a]\nb = 1\n")
    assert document.line(("a", "missing", "deeper")) == 2
    assert document.line(("nothing",)) == 0


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings(ending: str) -> None:
    assert locate(ending.join(["a = 1", "", "[b]", "c = 'x'", ""]))[("b", "c")] == 4


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every key path of a parsed table."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        found += paths(each, (*path, key))
    return found


keys = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
    st.sampled_from(["a.b", 'q"uote', "back\\slash", "# no", "[x]", "=", "Käufer", " "]),
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["[a]\nb = 1", '"""', "'''", "# x", "}", "]", "\\", 'a"']),
)
values = st.recursive(
    st.one_of(st.integers(-5, 5), st.booleans(), texts, st.floats(allow_nan=False, width=16)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)


def spelled_key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key) else spelled_text(key)


def spelled_text(text: str) -> str:
    spelled = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if ord(c) >= 32 and ord(c) != 127 else f"\\u{ord(c):04x}" for c in spelled) + '"'


def spelled(value: Any, broken: bool) -> str:
    """A value as TOML; `broken` puts lists over several lines, with comments, and text in long quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if (
            broken
            and "'''" not in value
            and not value.endswith("'")
            and not any(ord(c) < 32 and c != "\n" or ord(c) == 127 for c in value)
        ):
            return f"'''\n{value}'''"
        return spelled_text(value)
    if isinstance(value, list):
        between = ", # ] } [x]\n  " if broken else ", "
        return "[" + between.join(spelled(each, broken) for each in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{spelled_key(k)} = {spelled(v, False)}" for k, v in value.items()) + " }"
    return str(value)


@settings(max_examples=300, deadline=None)
@given(
    top=st.dictionaries(keys, values, max_size=4),
    sections=st.dictionaries(keys, st.dictionaries(keys, values, max_size=4), max_size=4),
    broken=st.booleans(),
)
def test_every_key_is_found_on_the_line_that_starts_with_it(
    top: dict[str, Any], sections: dict[str, dict[str, Any]], broken: bool
) -> None:
    lines: list[str] = ["# a file"]
    where: dict[tuple[str, ...], int] = {}

    def add(key: tuple[str, ...], text: str) -> None:
        where[key] = len(lines) + 1
        lines.extend(text.split("\n"))

    for key, value in top.items():
        add((key,), f"{spelled_key(key)} = {spelled(value, broken)}")
    for name, section in sections.items():
        if name in top:
            continue
        lines.append("")
        add((name,), f"[{spelled_key(name)}]")
        for key, value in section.items():
            add((name, key), f"  {spelled_key(key)}={spelled(value, broken)}  # = comment")
    text = "\n".join(lines)
    found = locate(text)
    assert set(paths(tomllib.loads(text))) == set(found)
    assert {key: found[key] for key in where} == where
