"""Lines that clients can cause, each request one: so many a minute are written, so that nobody fills a disk with them."""

from __future__ import annotations

import time

LINES, MINUTE = 10, 60.0


class Few:
    """A budget of lines."""

    def __init__(self) -> None:
        self._since = -MINUTE
        self._said = self._left = 0

    def line(self, text: str) -> str:
        """What is to be written: the line, after a minute with the number of those that were left out; empty where this one is."""
        if time.monotonic() - self._since >= MINUTE:
            if self._left:
                text += f" (and {self._left:,} lines more that were left out)"
            self._since, self._said, self._left = time.monotonic(), 0, 0
        self._said += 1
        if self._said <= LINES:
            return text
        self._left += 1
        return ""
