"""The server behind all connections: what it says in its log, and how many it takes."""

from __future__ import annotations

import contextlib
import logging
import resource
import time
from typing import TYPE_CHECKING, Any

import uvicorn

try:
    import uvloop

    LOOP: Any = uvloop.new_event_loop
except ImportError:
    LOOP = None

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 4096  # connections
_SPARE = 100  # files that are no connections: the log, the model's sockets, what libraries open
_LINES, _MINUTE = 10, 60.0  # lines a minute, for what clients can cause


class Few(logging.Filter):
    """So many lines a minute, and the number of those that were left out: who sends what is no request, again and again, fills no disk."""

    def __init__(self) -> None:
        super().__init__()
        self._since = -_MINUTE
        self._said = self._left = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        if time.monotonic() - self._since >= _MINUTE:
            if self._left:
                record.msg, record.args = (
                    f"{record.getMessage()} (and {self._left:,} lines more that were left out)",
                    (),
                )
            self._since, self._said, self._left = time.monotonic(), 0, 0
        self._said += 1
        self._left += self._said > _LINES
        return self._said <= _LINES


_FEW = {name: Few() for name in ("uvicorn.error", "asyncio")}


class Server(uvicorn.Server):
    """Leaves signals to who started it: the model's processes end after the last answer."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        for name, few in _FEW.items():
            logging.getLogger(name).addFilter(few)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


def most_connections() -> int:
    """As many as there may be open files, at most `MOST`; the limit of this process is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft - _SPARE))
