"""The server behind all connections: what it says in its log, and how many it takes."""

from __future__ import annotations

import contextlib
import logging
import resource
from typing import TYPE_CHECKING, Any

import uvicorn

from payoff.base.text import Few

try:
    import uvloop

    LOOP: Any = uvloop.new_event_loop
except ImportError:
    LOOP = None

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 4096  # connections
_SPARE = 100  # files that are no connections: the log, the model's sockets, what libraries open


BOUNDED = {name: Few() for name in ("uvicorn.error", "asyncio")}  # what others say


class Server(uvicorn.Server):
    """Leaves signals to who started it: the model's processes end after the last answer."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        for name, bounded in BOUNDED.items():
            logging.getLogger(name).addFilter(bounded)

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
