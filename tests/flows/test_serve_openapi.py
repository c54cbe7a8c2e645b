"""The server keeps its own description of itself, and that of others: generated requests of every address, right and wrong, and no answer that is not named."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("flows_servers_of_openapi", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)

ROW = {"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}


@pytest.fixture(scope="module")
def server(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = servers.copied(made_light, tmp_path_factory.mktemp("openapi") / "Stück")
    pipeline = folder / "pipeline.py"  # its model raises for very large numbers; that would be an answer 500 by its own fault
    pipeline.write_text(pipeline.read_text().replace("math.exp(3.4", "math.exp(min(700, 3.4").replace("* t)) for", "* t))) for"))
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "total"], cwd=folder, check=True)
    subprocess.run([servers.PAYOFF, "run"], cwd=folder, check=True, capture_output=True)
    with servers.serving(folder) as running:
        yield running


def test_it_says_what_it_promises_of_each_column(server: Any) -> None:
    document = server.ask("/openapi.json").json
    row = document["components"]["schemas"]["Row"]
    assert row["required"] == ["customer_id", "tenure", "calls_to_support", "late_payments", "lifetime_value", "name"]
    assert row["properties"]["name"] == {"type": "string", "minLength": 3}
    assert row["properties"]["tenure"]["minimum"] == 0
    jsonschema.validate(ROW, row, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("phases", "number"), [("fuzzing", "8"), pytest.param("coverage,fuzzing", "20", marks=pytest.mark.slow)]
)
def test_no_generated_request_gets_an_answer_that_is_not_described(server: Any, tmp_path: Path, phases: str, number: str) -> None:
    """Schemathesis: limits and what lies beside them, wrong methods, wrong kinds; every answer with its status, headers and form."""
    words = ["run", f"{server.address}/openapi.json", "--seed", "1", "-n", number, "--phases", phases, "--no-color"]
    # What the description cannot say: that tensors have as many values as their shapes tell, and what a line of CSV is.
    words += ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    command = [str(Path(sys.executable).with_name("schemathesis")), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 15" in done.stdout
    assert server.ask("/decide", {"rows": [ROW]}).status == 200


def test_every_generated_row_that_keeps_the_promises_is_answered(server: Any) -> None:
    document = server.ask("/openapi.json").json
    del document["paths"]["/decide"]["post"]["requestBody"]["content"]["text/csv"]
    operation = schemathesis.openapi.from_dict(document)["/decide"]["POST"]
    statuses = set()

    @settings(max_examples=40, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        given_ = case.body
        columns = list(given_["inputs"].values()) if isinstance(given_.get("inputs"), dict) else [[1]]
        if not all(isinstance(each, list) for each in columns):  # null for a column: how many rows that is, nobody can say
            return
        lengths = {len(each) for each in columns}
        if len(lengths) > 1 or 0 in lengths:
            return
        reply = server.ask("/decide", given_)
        statuses.add(reply.status)
        assert reply.status == 200 or (reply.status == 422 and reply.json["code"] == "PO-J024"), (given_, reply)

    ask()
    assert 200 in statuses


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The protocol's description as MLServer, a server of it that others wrote, has it in its package."""
    import uv

    place = tmp_path_factory.mktemp("mlserver")
    words = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--target", str(place), "mlserver==1.7.1"]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    text = (place / "mlserver" / "rest" / "openapi" / "dataplane.json").read_text()
    found: dict[str, Any] = json.loads(text.replace('"type": "bytes"', '"type": "string"'))  # JSON has no type bytes
    return found


@pytest.mark.frameworks
def test_every_answer_is_one_by_the_description_of_another_server_of_the_protocol(server: Any, theirs: dict[str, Any]) -> None:
    model = f"/v2/models/{quote(server.model)}"
    kinds = {int: "INT64", float: "FP64", str: "BYTES"}
    inputs = [{"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]} for name, value in ROW.items()]
    good = {"id": "7", "inputs": inputs, "outputs": [{"name": "p_True"}, {"name": "action"}]}
    asked: list[tuple[str, str, Any]] = [("/v2/health/live", "", None), ("/v2/health/ready", "", None), ("/v2", "", None)]
    for ours, path in ((model, "/v2/models/{model_name}"), (f"{model}/versions/{server.version}", "/v2/models/{model_name}/versions/{model_version}")):
        asked += [(path, ours, None), (f"{path}/ready", f"{ours}/ready", None)]
        for body in (good, {"inputs": inputs}, {"inputs": inputs[:1]}, {"inputs": []}, {}, {"inputs": [{**inputs[0], "datatype": "X"}]}):
            asked.append((f"{path}/infer", f"{ours}/infer", body))
    schemas = {"components": theirs["components"]}
    seen = set()
    for path, ours, body in asked:
        method = "get" if body is None else "post"
        if body in (good, {"inputs": inputs}):
            jsonschema.validate(body, {"$ref": "#/components/schemas/InferenceRequest", **schemas})
        reply = server.ask(ours or path, body)
        known = theirs["paths"][path][method]["responses"][str(reply.status)]
        seen.add((path, reply.status))
        if "content" in known:
            jsonschema.validate(reply.json, {**known["content"]["application/json"]["schema"], **schemas})
    assert {status for _, status in seen} == {200, 400}
    assert {path for path, _ in seen} == {path for path in theirs["paths"] if not path.rpartition("/")[2].startswith(("infer_", "generate"))}
