"""A real web server on 127.0.0.1 whose answers a test plays."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    connection: Any


@dataclass
class Answered:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None  # what Content-Length says; -1: no such header, and the connection is closed after the body
    chunked: bool = False  # in chunks of 1,000 bytes
    cut: bool = False  # the connection is closed instead of the last chunk
    pace: Callable[[], None] = lambda: None  # between chunks


class Web:
    """Plays `play`, keeps what was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.play: Callable[[Asked], Answered] = lambda asked: Answered(status=404)
        self.asked: list[Asked] = []

    @property
    def gets(self) -> list[Asked]:
        return [each for each in self.asked if each.method == "GET"]


@contextlib.contextmanager
def server() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), self.client_address)
            web.asked.append(asked)
            made = web.play(asked)
            self.send_response(made.status)
            for key, value in made.headers.items():
                self.send_header(key, value)
            if made.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif made.length != -1:
                self.send_header("Content-Length", str(len(made.body) if made.length is None else made.length))
            if made.cut or made.length is not None:
                self.close_connection = True
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "HEAD":
                return
            with contextlib.suppress(ConnectionError):
                if not made.chunked:
                    self.wfile.write(made.body)
                    return
                for start in range(0, len(made.body), 1000):
                    piece = made.body[start : start + 1000]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    made.pace()
                if not made.cut:
                    self.wfile.write(b"0\r\n\r\n")

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up

    served = Server(("127.0.0.1", 0), Handler)
    web = Web(f"http://127.0.0.1:{served.server_port}")
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        served.shutdown()
        served.server_close()
        thread.join()
