"""Progress on a terminal: what is under way, with rows and elapsed time. Nothing at all when piped.

The observer only notes facts. A thread draws them; it imports rich, and only after a moment, so that a short run never
pays for it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from payoff.base.clock import stopwatch
from payoff.cli.render.screen import interactive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Observer = Callable[..., None]

_PATIENCE, _PERIOD, _MOST = 0.4, 0.1, 12
_STEPS = {"stage", "step"}
_ENDED = {"ran", "reused", "failed", "skipped", "done"}
# What an event is about, where its name does not say so.
_ABOUT = {"environment": "environment", "check": "check", "track": "track"}


def _silent(event: str, **facts: Any) -> None:
    """Hears and says nothing."""


@contextmanager
def watching(stream: TextIO) -> Iterator[Observer]:
    """An observer for the length of a run; drawn on the stream if that is a terminal, gone without a trace after it."""
    if not interactive(stream):
        yield _silent
        return
    notes = Notes()
    ended = threading.Event()
    painter = threading.Thread(target=_paint, args=(notes, stream, ended), daemon=True)
    painter.start()
    try:
        yield notes
    finally:
        ended.set()
        painter.join(timeout=1.0)  # a terminal that takes nothing (ctrl-S) does not hold the run up


class Notes:
    """What is known of everything under way. Called by the run, read by the painter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[tuple[str, str], dict[str, Any]] = {}
        self._ended: dict[str, int] = {}

    def __call__(self, event: str, **facts: Any) -> None:
        """Note what happened."""
        key = (event, str(facts.get("name", "")))
        state = facts.get("state", "progress")
        with self._lock:
            if state in _ENDED:
                known = self._active.pop(key, None)
                if event in _STEPS and (known is not None or state in {"reused", "skipped"}):
                    self._ended[state] = self._ended.get(state, 0) + 1
            else:
                self._active.setdefault(key, {"began": stopwatch()}).update(facts)

    def read(self) -> tuple[list[tuple[str, str, dict[str, Any]]], dict[str, int]]:
        """What is under way (event, name, facts), and how many steps ended in which state."""
        with self._lock:
            return [(event, name, dict(facts)) for (event, name), facts in self._active.items()], dict(self._ended)


def _paint(notes: Notes, stream: TextIO, ended: threading.Event) -> None:
    if ended.wait(_PATIENCE):
        return
    try:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=stream)
        with Live(
            console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as live:
            while not ended.is_set():
                live.update(_picture(notes), refresh=True)
                ended.wait(_PERIOD)
    except (OSError, ValueError):  # the terminal went away: the run goes on
        return


def _picture(notes: Notes) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    active, ended = notes.read()
    grid = Table.grid(padding=(0, 1))
    for event, name, facts in active[:_MOST]:
        rows, total = facts.get("rows"), facts.get("total_rows")
        amount = f"{rows:,}" + (f" of {total:,} rows" if total else " rows") if rows else str(facts.get("line", ""))
        seconds = stopwatch() - facts["began"]
        bar = ProgressBar(
            total=total or 100, completed=rows or 0, pulse=not total, width=24, animation_time=stopwatch()
        )
        about = f"{_ABOUT.get(event, '')} {name}".strip()
        grid.add_row(Text(about), bar, Text(f"{seconds:.0f} s"), Text(amount, overflow="ellipsis", no_wrap=True))
    if len(active) > _MOST:
        grid.add_row(Text(f"and {len(active) - _MOST} more"), "", "", "")
    said = ", ".join(f"{number} {state}" for state, number in ended.items())
    if said:
        grid.add_row(Text(said), "", "", "")
    return grid
