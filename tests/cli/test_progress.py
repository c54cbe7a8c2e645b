"""Progress while running: on a terminal only, and gone when the run ends."""

from __future__ import annotations

import io
import os
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from payoff.cli.render.progress import Notes, watching


def test_nothing_is_drawn_when_piped() -> None:
    stream = io.StringIO()
    threads = threading.active_count()
    with watching(stream) as observer:
        observer("stage", name="model", state="started")
        assert threading.active_count() == threads
    assert stream.getvalue() == ""


def terminal(seconds: float) -> str:
    """What a terminal gets while a step runs for so long."""
    mine, theirs = os.openpty()
    drawn: list[bytes] = []
    reader = threading.Thread(target=drain, args=(mine, drawn))
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream, watching(stream) as observer:
        observer("stage", name="examples", state="reused")
        observer("stage", name="model", state="started")
        observer("source", name="contacts", state="progress", rows=250_000, total_rows=1_000_000)
        time.sleep(seconds)
        observer("stage", name="model", state="ran", seconds=seconds)
    reader.join()
    os.close(mine)
    return b"".join(drawn).decode()


def drain(terminal_end: int, drawn: list[bytes]) -> None:
    """Read until the other end is closed."""
    try:
        while chunk := os.read(terminal_end, 1 << 16):
            drawn.append(chunk)
    except OSError:  # Linux says so when the other end of a pseudo terminal is closed
        return


def test_a_terminal_sees_what_is_under_way_with_its_rows() -> None:
    drawn = terminal(1.5)
    assert "model" in drawn
    assert "250,000 of 1,000,000 rows" in drawn
    assert "1 reused" in drawn
    assert drawn.rstrip().endswith("\x1b[2K"), "the last thing written clears the picture"


def test_a_short_run_draws_nothing() -> None:
    assert terminal(0.05) == ""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["step", "source", "strange"]),
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["started", "progress", "ran", "reused", "failed", "skipped", "done", "odd"]),
        )
    )
)
def test_notes_take_any_order_of_events(events: list[tuple[str, str, str]]) -> None:
    notes = Notes()
    for event, name, state in events:
        notes(event, name=name, state=state)
    notes("strange")
    active, ended = notes.read()
    last = {(event, name): state for event, name, state in events}
    still = {key for key, state in last.items() if state in {"started", "progress", "odd"}} | {("strange", "")}
    assert {(event, name) for event, name, _ in active} == still
    assert sum(ended.values()) <= len(events)
