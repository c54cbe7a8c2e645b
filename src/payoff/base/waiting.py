"""Waiting for the outside, but not for ever: a stream is read in a thread, and who waits for it gives up after a while."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

T = TypeVar("T")
_AHEAD = 1  # items made before they are asked for, beside the one in the making
_LEAVE = 5.0  # seconds that a stream gets to close when its reader is left early


def items(
    opened: Callable[[], AbstractContextManager[Iterable[T]]], seconds: float, late: Callable[[], Exception]
) -> Iterator[T]:
    """The items of a stream, which is opened, read and closed in a thread of its own.

    `seconds`: how long to wait for the stream to open, and for each item (0: for ever); then the error that `late` makes is raised,
    and the thread, which may hang in a library, is left to itself. Errors of the stream are raised where the items are read. At most two
    items are held. When the reader stops early, the stream is closed.

    >>> import contextlib
    >>> list(items(lambda: contextlib.nullcontext([1, 2, 3]), 5, TimeoutError))
    [1, 2, 3]
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=_AHEAD)
    stop = threading.Event()
    thread = threading.Thread(target=_work, args=(opened, ready, stop), daemon=True, name="payoff-stream")
    thread.start()
    leave = _LEAVE
    try:
        while True:
            try:
                what, item = ready.get(timeout=seconds or None)
            except queue.Empty:
                leave = 0.0
                what, item = "error", late()
            if what == "error":
                raise item
            if what == "end":
                return
            yield item
    finally:
        stop.set()
        if thread is not threading.current_thread():  # the last reference to the reader may be dropped anywhere
            thread.join(leave)


def _work(
    opened: Callable[[], AbstractContextManager[Iterable[T]]],
    ready: queue.Queue[tuple[str, Any]],
    stop: threading.Event,
) -> None:
    try:
        with opened() as stream:
            for item in stream:
                if not _handed(("item", item), ready, stop):
                    return
    except BaseException as error:  # told where the items are read
        _handed(("error", error), ready, stop)
    else:
        _handed(("end", None), ready, stop)


def _handed(what: tuple[str, Any], ready: queue.Queue[tuple[str, Any]], stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            ready.put(what, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
