"""A table through the gateway against a bare Flight server that sends the same file, and against HTTP with JSON lines."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
import numpy as np
import pyarrow as pa
from pyarrow import flight

PAYOFF = str(Path(sys.executable).with_name("payoff"))
TOKEN = "0123456789abcdef-benchmark"
OFFER = """
[sources.numbers]
kind = "files"
path = "numbers.arrow"
[gateway]
tables = ["numbers"]
[gateway.readers.me]
token = "${BENCHMARK_TOKEN}"
zone = "here"
"""
BARE = """
import sys
import pyarrow as pa
from pyarrow import flight

class Server(flight.FlightServerBase):
    def do_get(self, context, ticket):
        file = pa.ipc.open_file(pa.memory_map(sys.argv[1]))
        batches = (file.get_batch(n) for n in range(file.num_record_batches))
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(file.schema, batches))

server = Server("grpc://127.0.0.1:0")
print(server.port, flush=True)
server.serve()
"""
JSON = """
import http.server, json, sys
import pyarrow as pa

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        file = pa.ipc.open_file(pa.memory_map(sys.argv[1]))
        for n in range(int(self.path[1:])):
            self.wfile.write("".join(json.dumps(row) + "\\n" for row in file.get_batch(n).to_pylist()).encode())
    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
BATCH = 65_536


def speed(folder: Path, rows: int = 5_000_000) -> Iterator[measure.Ratio]:
    """Whole tables, to the client's memory."""
    made = folder / "there"
    subprocess.run([PAYOFF, "init", str(made)], check=True, capture_output=True)
    with open(made / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(OFFER)
    file = made / "numbers.arrow"
    _write(file, rows)
    some = 4  # batches by HTTP: all would take minutes
    with (
        _process([sys.executable, "-c", BARE, str(file)], made) as bare,
        _process([sys.executable, "-c", JSON, str(file)], made) as web,
        _process([PAYOFF, "gateway", "--json", "--port", "0"], made) as ours,
    ):
        token = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {TOKEN}".encode())])
        through = flight.FlightClient(json.loads(ours)["address"])
        beside = flight.FlightClient(f"grpc://127.0.0.1:{bare}")

        def gateway() -> int:
            info = through.get_flight_info(flight.FlightDescriptor.for_path("numbers"), token)
            return through.do_get(info.endpoints[0].ticket, token).read_all().num_rows

        def plain() -> int:
            return beside.do_get(flight.Ticket(b"")).read_all().num_rows

        def text() -> int:
            connection = http.client.HTTPConnection("127.0.0.1", int(web))
            connection.request("GET", f"/{some}")
            found = pa.Table.from_pylist([json.loads(line) for line in connection.getresponse()])
            connection.close()
            return found.num_rows

        yield measure.pair(
            f"gateway, {rows:,} rows",
            _timed(gateway, rows),
            _timed(plain, rows),
            aim=1.25,
            against="bare Flight (0.8 of its speed)",
        )
        yield measure.pair(
            "gateway, for as many rows",
            _timed(gateway, rows, part=some * BATCH / rows),
            _timed(text, some * BATCH),
            aim=0.2,
            against=f"HTTP with JSON lines, {some * BATCH:,} rows",
            pairs=5,
        )


def _write(file: Path, rows: int) -> None:
    draw = np.random.default_rng(7)
    table = pa.table({"id": np.arange(rows)} | {f"x{n}": draw.normal(size=rows) for n in range(4)})
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH)


def _timed(what: Callable[[], int], rows: int, part: float = 1.0) -> Callable[[], float]:
    def once() -> float:
        start = time.perf_counter()
        assert what() == rows
        return (time.perf_counter() - start) * part

    return once


@contextlib.contextmanager
def _process(words: list[str], folder: Path) -> Iterator[str]:
    """A server, and the line that it says where it is with."""
    environ = {**os.environ, "BENCHMARK_TOKEN": TOKEN}
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
