"""Our server keeps the suites that others may run against theirs; two small servers that are wrong do not; and bytes that nobody would send do not end ours."""

from __future__ import annotations

import http.server
import importlib.util
import json
import math
import struct
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payoff.testing.serving import GrpcSuite, ServingSuite
from payoff.testing.serving.values import DATATYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("flows_servers_of_protocol", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)

ROW = {"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}
# Columns of every type that the engine has, and a model to which each of them says something.
CASTS = {
    "u8": "utinyint", "u16": "usmallint", "u32": "uinteger", "u64": "ubigint", "i8": "tinyint", "i16": "smallint", "i32": "integer",
    "f32": "float", "f64": "double",
}  # fmt: skip
TYPED = """
    def predict_proba(self, rows):
        columns = [rows.column(name).to_pylist() for name in %r]
        late = [1.0 if each else 0.0 for each in rows.column("late").to_pylist()]
        names = [len(each) for each in rows.column("name").to_pylist()]
        said = []
        for row in range(rows.num_rows):
            weighed = sum(column[row] / (place + 2) for place, column in enumerate(columns)) + late[row] + names[row] / 20
            chance = 1 / (1 + math.exp(4 - 0.01 * weighed))
            said.append([1 - chance, chance])
        return said
"""
TYPED_ROW = {**ROW, **{name: float(3 + place) if name[0] == "f" else 3 + place for place, name in enumerate(CASTS)}, "late": True}


def typed(folder: Path) -> Path:
    """The light project with such columns, run again."""
    examples, pipeline = folder / "sql/examples.sql", folder / "pipeline.py"
    casts = ", ".join(f"cast(calls_to_support as {kind}) as {name}" for name, kind in CASTS.items())
    examples.write_text(examples.read_text().replace("churned, name", f"churned, name, {casts}, late_payments > 0 as late"))
    head, _, tail = pipeline.read_text().partition("    def predict_proba")
    pipeline.write_text(head + TYPED.strip("\n") % list(CASTS) + "\n\n@step\n" + tail.partition("@step\n")[2])
    servers.subprocess.run(["git", "commit", "--quiet", "--all", "--message", "typed"], cwd=folder, check=True)
    done = servers.subprocess.run([servers.PAYOFF, "run", "--json"], cwd=folder, capture_output=True, text=True, check=False)
    assert '"run"' in done.stdout, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def running(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = servers.copied(made_light, tmp_path_factory.mktemp("protocol") / "Stück")
    with servers.serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def every_type(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("grpc", reason="grpcio is not installed (uv pip install 'payoff[serve]')")
    folder = typed(servers.copied(made_light, tmp_path_factory.mktemp("types") / "Stück"))
    with servers.serving(folder, "--anyway", "--grpc-port", "0") as server:
        yield server


class TestOurs(ServingSuite):
    datatypes = DATATYPES

    @pytest.fixture
    def server(self, every_type: Any) -> tuple[str, str, dict[str, Any]]:
        return every_type.address, every_type.model, TYPED_ROW


class TestOursByGrpc(GrpcSuite):
    datatypes = DATATYPES

    @pytest.fixture
    def server(self, every_type: Any) -> tuple[str, str, dict[str, Any]]:
        return every_type.grpc, every_type.model, TYPED_ROW


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["inputs", "rows", "instances", "name", "shape", "data", "datatype", *ROW]), inner, max_size=5),
    max_leaves=20,
)
PATHS = st.sampled_from(["/decide", "/invocations", "INFER", "/v2/models/%2f/infer", "/v2//", "/%00", "/v2/models"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(PATHS, st.one_of(JSON, st.binary(max_size=100)), st.sampled_from(["application/json", "text/csv", "", "x"]), st.sampled_from(["", "0", "5", "-1", "x", "9" * 30]))
def test_anything_may_come(running: Any, path: str, body: Any, kind: str, length: str) -> None:
    where = f"/v2/models/{servers.quote(running.model)}/infer" if path == "INFER" else path
    headers = {"Content-Type": kind, **({"Inference-Header-Content-Length": length} if length else {})}
    reply = running.ask(where, body if body is not None else b"", headers, method="POST")
    assert 400 <= reply.status < 500 or reply.status == 200
    assert reply.status == 200 or reply.json["code"].startswith("PO-J0")
    assert running.ask("/v2/health/ready").status == 200


def test_ten_times_more_than_it_can_answer_is_sent_away_and_the_rest_answered(made_light: Path, tmp_path: Path) -> None:
    """A model that takes half a second, and forty clients that do not wait."""
    import threading
    import time

    folder = servers.copied(made_light, tmp_path / "langsam")
    pipeline = folder / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("        columns = (", "        import time; time.sleep(0.3)\n        columns = ("))
    servers.subprocess.run(["git", "commit", "--quiet", "--all", "--message", "slow"], cwd=folder, check=True)
    servers.subprocess.run([servers.PAYOFF, "run"], cwd=folder, check=True, capture_output=True)
    with servers.serving(folder, "--queue", "4", "--timeout", "20") as server:
        statuses: list[int] = []
        slowest = [0.0]

        def client() -> None:
            for _ in range(5):
                began = time.monotonic()
                reply = server.ask("/decide", {"rows": [ROW]})
                statuses.append(reply.status)
                if reply.status == 429:
                    assert int(reply.headers["retry-after"]) >= 1
                else:
                    slowest[0] = max(slowest[0], time.monotonic() - began)

        threads = [threading.Thread(target=client) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 429}
        assert statuses.count(429) > statuses.count(200) > 0
        assert slowest[0] < 20
        assert server.metric("payoff_shed_total") == statuses.count(429)
        assert server.ask("/decide", {"rows": [ROW]}).status == 200
