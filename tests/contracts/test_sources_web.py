"""HTTP APIs keep what every source promises, whatever the body and the paging."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from payoff.testing.source import SourceSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("web_of_contracts", Path(__file__).with_name("web.py"))
assert _spec and _spec.loader
web_ = importlib.util.module_from_spec(_spec)
sys.modules["web_of_contracts"] = web_
_spec.loader.exec_module(web_)

TYPES = {"id": "int64", "amount": "float64", "text": "string", "yes": "bool", "day": "date32"}


@pytest.fixture(scope="module")
def web() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, web_.server() as served:
        patch.setenv("no_proxy", "*")
        yield served


class _Served:
    """A table's bodies behind an address of its own."""

    @pytest.fixture(autouse=True)
    def _server(self, web: Any) -> None:
        self.web = web

    def serve(self, root: Path, pages: list[bytes], kind: str, **headers: str) -> str:
        path = f"/{abs(hash(str(root)))}"
        etag = f'"{abs(hash(tuple(pages)))}"'

        def play(asked: Any) -> Any:
            number = int(asked.query.get("page", 1)) - 1
            body = pages[number] if number < len(pages) else self.last
            return web_.Answered(body, headers={"Content-Type": kind, "ETag": etag})

        self.web.play = play
        return f"{self.web.url}{path}"

    last = b""


class TestJsonByPage(_Served, SourceSuite):
    adapter = "payoff.sources:http"
    last = b'{"data": {"items": []}}'

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        parts = [table.slice(start, 70_000) for start in range(0, table.num_rows, 70_000)]
        pages = [msgspec.json.encode({"data": {"items": part.to_pylist()}}) for part in parts]
        url = self.serve(root, pages, "application/json")
        return {"url": url, "records": "data.items", "types": TYPES, "paging": "page"}


class TestCsvInOne(_Served, SourceSuite):
    adapter = "payoff.sources:http"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        stream = io.BytesIO()
        pacsv.write_csv(table, stream, pacsv.WriteOptions(quoting_style="needed"))
        return {"url": self.serve(root, [stream.getvalue()], "text/csv"), "types": TYPES}


class TestJsonLinesInOne(_Served, SourceSuite):
    adapter = "payoff.sources:http"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        lines = msgspec.json.Encoder().encode_lines(table.to_pylist())
        return {"url": self.serve(root, [lines], "application/x-ndjson"), "types": TYPES}


class TestParquetInOne(_Served, SourceSuite):
    adapter = "payoff.sources:http"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        stream = io.BytesIO()
        pq.write_table(table, stream)
        return {"url": self.serve(root, [stream.getvalue()], "application/vnd.apache.parquet")}
