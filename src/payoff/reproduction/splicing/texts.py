"""The text of parts of code, and how it differs between two versions."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from payoff.reproduction.splicing.units import Source, sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STATEMENTS = " (statements)"


def differences(a: Mapping[str, str], b: Mapping[str, str], parts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """For each part (a qualified name, or a query's path) its state (`added`, `removed`, `changed`) and a unified diff of its text.

    `a` and `b` have the files of either side: path -> text.
    """
    ours, theirs = sources(a), sources(b)
    for part in parts:
        old, new = _text(part, a, ours), _text(part, b, theirs)
        state = "changed" if old and new else "added" if new else "removed"
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "A", "B", lineterm="", n=2)
        yield part, state, "\n".join(list(lines)[2:])


def _text(part: str, files: Mapping[str, str], modules: Mapping[str, Source]) -> str:
    if part.endswith(".sql"):
        return files.get(part, "")
    if part.endswith(STATEMENTS):
        source = modules.get(part.removesuffix(STATEMENTS))
        return "\n".join(unit.text for unit in source.units if unit.loose) if source else ""
    module, _, name = part.rpartition(".")
    source = modules.get(module)
    return "\n\n".join(unit.text for unit in source.binding(name)) if source else ""
