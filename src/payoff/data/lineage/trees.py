"""Small questions to sqlglot's trees, whose keys changed between its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from payoff.data.lineage.relation import UnsureError

if TYPE_CHECKING:
    from collections.abc import Collection


def part(node: exp.Expression, key: str) -> Any:
    """A part of a node, or None."""
    found = node.args.get(key)
    if found is None:
        found = node.args.get(f"{key}_")
    return found if isinstance(found, exp.Expression) else None


def nodes(node: exp.Expression, key: str) -> list[Any]:
    """A part of a node that is a list."""
    found = node.args.get(key)
    return found if isinstance(found, list) else []


def refuse_others(node: exp.Expression, known: Collection[str]) -> None:
    """Refuse a node that says more than is understood here."""
    for key, value in node.args.items():
        if value and key not in known and key.rstrip("_") not in known:
            raise UnsureError(f"{key.rstrip('_').replace('_', ' ')} of {type(node).__name__.lower()} is not understood")


def bare(node: exp.Expression) -> exp.Expression:
    """An item of a select list without its alias."""
    inner = node.this if isinstance(node, exp.Alias) else node
    return inner if isinstance(inner, exp.Expression) else node
