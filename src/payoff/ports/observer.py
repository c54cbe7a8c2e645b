"""Who hears about progress."""

from __future__ import annotations

from typing import Any, Protocol


class Observer(Protocol):
    """Called with what happens, as it happens: `step`, `environment`, `source`, `check`, `score`, `value`, `track`.

    `facts` holds at least `name` and `state` (`started`, `progress`, `ran`, `reused`, `failed`, `skipped`, `done`); possibly `seconds`, `rows`,
    `total_rows`, `because`. Must return quickly and never raise.
    """

    def __call__(self, event: str, **facts: Any) -> None: ...


def silent(event: str, **facts: Any) -> None:
    """An observer that does nothing."""
