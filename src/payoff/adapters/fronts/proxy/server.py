"""The process: HTTP/1.1 comes in, goes to the release that runs or to the one that is tried, and what came of it is counted.

Started with the path of a deployment's files, of which `.routes` is read again whenever it is changed and `.front` and `.seen` are written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.adapters.fronts.proxy.connection import Connection
from payoff.adapters.fronts.proxy.state import State, beside
from payoff.base.clock import stopwatch
from payoff.base.files import write_atomically
from payoff.base.text import Few

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

_LOOK = 0.05  # seconds between two looks at the routes
_TIDY = 0.5
_DRAIN = 30.0
_MOST = 1024  # clients
_FILES = 5  # of each: itself, a connection to each release, one that comes at once, and half a one that is refused; and what else is open


def most_clients() -> int:
    """As many as there may be open files for; the limit of this process is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST * _FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(1, min(_MOST, soft // _FILES))


async def main(place: Path, host: str, port: int) -> None:
    """Serve until it is told to end; what is under way is answered."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ended.set)
    logging.getLogger("asyncio").addFilter(Few())
    state = State(place, most_clients())
    # The loop takes as many at once as may wait, before anybody counts them: where there are no files for them it says so for each.
    server = await loop.create_server(lambda: Connection(state), host, port, backlog=state.most)
    bound = server.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host

    def tell() -> None:
        said = {
            "pid": os.getpid(),
            "address": f"http://{shown}:{bound}",
            "applied": state.applied,
            "options": {"host": host, "port": port},
        }
        write_atomically(beside(place, ".front"), json.dumps(said).encode())

    tell()
    since = stopwatch()
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _LOOK)
        if state.look():
            with contextlib.suppress(OSError):  # who waits for it says so
                tell()
        if stopwatch() - since > _TIDY:
            since = stopwatch()
            state.tidy()
            await state.write()
    server.close()
    state.ending = True
    for client in [*state.clients]:
        client.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN):
            await state.quiet.wait()
            await asyncio.gather(*state.shadows, return_exceptions=True)
    await state.write()


def start(words: list[str]) -> Coroutine[Any, Any, None]:
    """The arguments: the files' path without its ending, the host, the port."""
    return main(Path(words[0]), words[1], int(words[2]))


if __name__ == "__main__":
    asyncio.run(start(sys.argv[1:]))
