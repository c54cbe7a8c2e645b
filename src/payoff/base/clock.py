"""The time, as UTC text."""

from __future__ import annotations

import time


def now() -> str:
    """The present in UTC with milliseconds, as `2026-11-23T14:41:05.123Z`."""
    return as_text(time.time())


def as_text(seconds: float) -> str:
    """Seconds since 1970, as files have them, in the same form.

    >>> as_text(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def microseconds() -> int:
    """The present as microseconds since 1970."""
    return time.time_ns() // 1000


def stopwatch() -> float:
    """Seconds of a clock that only goes forward."""
    return time.perf_counter()
