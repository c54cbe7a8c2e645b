"""A project's model in a server of its own, for the tests that ask it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import jsonschema
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYOFF = str(Path(sys.executable).with_name("payoff"))
__all__ = ["quote"]
JSON = {"Content-Type": "application/json"}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A server that answers; `folder` is the project's."""

    def __init__(self, process: subprocess.Popen[str], said: dict[str, str], folder: Path) -> None:
        self.process = process
        self.address, self.model, self.version = said["address"], said["model"], said["version"]
        self.host = self.address.partition("//")[2]
        self.grpc = said.get("grpc", "")
        self.folder = folder
        self.described: dict[str, Any] = {}

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None, method: str = "", *, keeps: bool = True) -> Reply:
        connection = http.client.HTTPConnection(self.host, timeout=120)
        try:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method or ("GET" if body is None else "POST"), path, data, headers or (JSON if body is not None else {}))
            answer = connection.getresponse()
            reply = Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
            if keeps:
                self.keeps(path, reply, method or ("GET" if body is None else "POST"))
            return reply
        finally:
            connection.close()

    def keeps(self, path: str, reply: Reply, method: str) -> None:
        """Every answer that a test gets is one that the server's own description names, and has the form that it says."""
        if not self.described:
            found = self.ask("/openapi.json", keeps=False)
            self.described = found.json if found.status == 200 else {"paths": {}}  # with a token it is not for everybody
        model = f"/v2/models/{quote(self.model)}"
        path = path.replace(model, "/v2/models/{name}").replace(f"/versions/{self.version}", "/versions/{version}")
        known = self.described["paths"].get(path, {}).get(method.lower())
        if known is None or len(reply.body) > 200_000:
            return
        assert str(reply.status) in known["responses"], (path, reply)
        content = known["responses"][str(reply.status)].get("content", {})
        kind = reply.headers["content-type"].partition(";")[0]
        assert not content or kind in content, (path, reply)
        if kind == "application/json" and content:
            schema = {**content[kind]["schema"], "components": self.described["components"]}
            jsonschema.validate(reply.json, schema, jsonschema.Draft202012Validator)

    def metric(self, name: str) -> float:
        lines = self.ask("/metrics").body.decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).rpartition(" ")[2])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def log(self) -> pa.Table:
        """Every row in the log, as the files have it now."""
        return logged(self.folder)


def logged(folder: Path) -> pa.Table:
    import pyarrow.parquet as pq

    parts = []
    for path in sorted((folder / ".payoff" / "serving" / "log").rglob("*.*")):
        if path.suffix == ".parquet" and not path.name.startswith("."):
            parts.append(pq.read_table(path))
        elif path.suffix == ".arrows":
            with pa.memory_map(str(path)) as source, contextlib.suppress(pa.ArrowInvalid, OSError):
                reader = pa.ipc.open_stream(source)
                batches = []
                with contextlib.suppress(StopIteration, pa.ArrowInvalid, OSError):
                    while True:
                        batches.append(reader.read_next_batch())
                parts.append(pa.Table.from_batches(batches, reader.schema))
    full = [each for each in parts if each.num_rows]
    return pa.concat_tables(full) if full else next(iter(parts), pa.table({}))


@contextlib.contextmanager
def serving(folder: Path, *words: str, environ: dict[str, str] | None = None, before: tuple[str, ...] = ()) -> Iterator[Serving]:
    """Start a server, and see to it that it ends."""
    command = [*before, PAYOFF, "serve", "--json", "--port", "0", *words]
    with open(folder / "serve.err", "w", encoding="utf-8") as err:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environ or {})}, stdout=subprocess.PIPE, stderr=err, text=True, start_new_session=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "serve.err").read_text()
        yield Serving(process, json.loads(line), folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def copied(made: Path, to: Path) -> Path:
    """A copy of a project that ran; the installed environments are shared."""
    inner = Path(".payoff", "environments")
    away = {made / inner, made / ".venv"}
    shutil.copytree(made, to, symlinks=True, ignore=lambda at, names: [n for n in names if Path(at, n) in away])
    (to / inner).symlink_to(made / inner)
    return to


def until(what: Any, seconds: float = 60.0) -> None:
    """Wait until it is so."""
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last
        time.sleep(0.05)
