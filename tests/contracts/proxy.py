"""A TCP proxy that cuts, or stalls, after so many bytes from the server."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def proxy(port: int, *, after: int, stall: bool = False) -> Iterator[int]:
    """The port that leads to `port`; each connection is cut (or says nothing more) once the server has sent `after` bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop, open_ones = threading.Event(), []

    def serve() -> None:
        while not stop.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            open_ones.extend((client, server))
            threading.Thread(target=_pump, args=(client, server, None, False, stop), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client, after, stall, stop), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        listener.close()
        for each in open_ones:
            _end(each)


def _pump(source: socket.socket, sink: socket.socket, left: int | None, stall: bool, stop: threading.Event) -> None:
    try:
        while data := source.recv(16_384):
            if left is not None:
                data, left = data[:left], left - len(data)
            sink.sendall(data)
            if left is not None and left <= 0:
                if stall:
                    stop.wait(60)
                break
    except OSError:
        pass
    _end(source)
    _end(sink)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
