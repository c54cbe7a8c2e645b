"""A registry of schemas with Confluent's interface, in a thread."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Registry:
    """`schemas`: number -> answer; `subjects`: (subject as in the path, version) -> answer; `always`: what it answers to everything."""

    def __init__(self, schemas: dict[int, dict[str, Any]], user: str, password: str) -> None:
        self.schemas = schemas
        self.subjects: dict[tuple[str, int], dict[str, Any]] = {}
        self.user, self.password = user, password
        self.always: tuple[int, bytes] | None = None
        self.asked: list[str] = []
        self.users: set[str] = set()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                registry.users.add(self.headers.get("Authorization", ""))
                status, body = registry.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def answer(self, path: str, given: str) -> tuple[int, bytes]:
        if self.always is not None:
            return self.always
        if self.user and given != f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}":
            return 401, b'{"error_code": 401}'
        words = path.strip("/").split("/")
        found = self.schemas.get(int(words[-1])) if "schemas" in words else self.subjects.get((words[-3], int(words[-1])))
        return (200, json.dumps(found).encode()) if found else (404, b'{"error_code": 40403, "message": "Schema not found"}')

    def shut(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextlib.contextmanager
def registry(schemas: dict[int, dict[str, Any]], *, user: str = "", password: str = "") -> Iterator[Registry]:
    made = Registry(schemas, user, password)
    try:
        yield made
    finally:
        with contextlib.suppress(Exception):
            made.shut()
