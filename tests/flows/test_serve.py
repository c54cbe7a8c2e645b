"""`payoff serve`: what a run said of its holdout, a client hears again; what is wrong is told by row; what was answered is in the log."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payoff.base.telemetry import SILENT

_spec = importlib.util.spec_from_file_location("flows_servers", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)
JSON, Serving, copied, logged, serving, until = (
    servers.JSON, servers.Serving, servers.copied, servers.logged, servers.serving, servers.until,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = {"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}


@pytest.fixture(scope="module")
def folder(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(made_light, tmp_path_factory.mktemp("serve") / "ein Stück")


@pytest.fixture
def apart(made_light: Path, tmp_path: Path) -> Path:
    """A project that no other server is at."""
    return copied(made_light, tmp_path / "für sich")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of the holdout, with what the run said of them under `said`."""
    from payoff.flows.opening import open_past
    from payoff.flows.serve.columns import holdout
    from payoff.flows.show import find

    past = open_past(str(folder))
    record, _ = find(past, "latest")

    def table(artifact: Any) -> list[dict[str, Any]]:
        with pa.memory_map(str(past.kit.store.path(artifact))) as source:
            return pa.ipc.open_file(source).read_all().to_pylist()

    said = {each["id"]: each for each in table(record.predictions)}
    return [{**row, "said": said[row["customer_id"]]} for row in table(holdout(record))]


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("said", "churned")} for row in rows]


def infer(server: Serving) -> str:
    return f"{model(server)}/infer"


def model(server: Serving) -> str:
    return f"/v2/models/{quote(server.model)}"


def tensors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = {int: "INT64", float: "FP64", str: "BYTES", bool: "BOOL"}
    return {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": kinds[type(rows[0][name])], "data": [row[name] for row in rows]}
            for name in rows[0]
        ]
    }


def test_every_decision_is_that_of_the_run(server: Serving, rows: list[dict[str, Any]]) -> None:
    answer = server.ask("/decide", {"rows": plain(rows)}).json
    assert [each["action"] for each in answer["decisions"]] == [row["said"]["action"] for row in rows]
    assert [each["probabilities"]["churned"] for each in answer["decisions"]] == [row["said"]["p_churned"] for row in rows]
    first, row = answer["decisions"][0], rows[0]
    chance = row["said"]["p_churned"]
    worth = chance * (0.3 * row["lifetime_value"] - 5) + (1 - chance) * -5
    assert first["payoffs"]["offer"] == pytest.approx(worth, rel=1e-12)
    assert first["expected_payoff"] == max(first["payoffs"].values())
    assert answer["currency"] == "EUR"
    assert answer["version"] == server.version


def test_all_protocols_say_the_same(server: Serving, rows: list[dict[str, Any]]) -> None:
    some = plain(rows[:20])
    expected = [row["said"]["p_churned"] for row in rows[:20]]
    v2 = server.ask(infer(server), tensors(some)).json
    assert v2["model_name"] == server.model
    assert next(each for each in v2["outputs"] if each["name"] == "p_True")["data"] == expected
    names = list(some[0])
    for body in (
        {"dataframe_records": some},
        {"dataframe_split": {"columns": names, "data": [[row[name] for name in names] for row in some]}},
        {"instances": some},
        {"inputs": {name: [row[name] for row in some] for name in names}},
    ):
        assert [row[1] for row in server.ask("/invocations", body).json["predictions"]] == expected
    csv = "\n".join([",".join(names), *(",".join(str(row[name]) for name in names) for row in some)])
    assert [r[1] for r in server.ask("/invocations", csv.encode(), {"Content-Type": "text/csv"}).json["predictions"]] == expected


def test_decisions_are_outputs_as_well(server: Serving) -> None:
    body = {**tensors([ROW]), "id": "mine", "outputs": [{"name": "action"}, {"name": "expected_payoff"}]}
    answer = server.ask(infer(server), body).json
    assert answer["id"] == "mine"
    assert [each["name"] for each in answer["outputs"]] == ["action", "expected_payoff"]
    assert answer["outputs"][0]["data"] == [server.ask("/decide", {"rows": [ROW]}).json["decisions"][0]["action"]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"tenure": "ten"}, ("tenure", "is a whole number")),
        ({"tenure": None}, ("tenure", "is required")),
        ({"tenure": 2**70}, ("tenure", f"is between {-(2**63)} and {2**63 - 1}")),
        ({"tenure": True}, ("tenure", "is a whole number")),
        ({"name": "ge"}, ("name", "is at least 3 long")),
        ({"lifetime_value": "1e400"}, ("lifetime_value", "is a number")),
    ],
)
def test_a_wrong_value_is_told_by_row_column_and_rule(server: Serving, change: dict[str, Any], fault: tuple[str, str]) -> None:
    before = server.log().num_rows
    for path, key in (("/decide", "rows"), ("/invocations", "instances")):
        reply = server.ask(path, {key: [ROW, {**ROW, **change}]})
        assert reply.status == 400
        assert reply.json["faults"] == [{"row": 1, "column": fault[0], "rule": fault[1]}]
        assert reply.json["code"] == "PO-J023"
        shown = str(next(iter(change.values())))
        assert shown == "None" or len(shown) < 4 or shown not in json.dumps(reply.json)
    assert server.log().num_rows == before


def test_many_faults_are_counted_and_the_first_are_told(server: Serving) -> None:
    reply = server.ask("/decide", {"rows": [{**ROW, "tenure": "x", "name": "y"}] * 300}).json
    assert reply["count"] == 600
    assert len(reply["faults"]) == 100


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/decide", b"{", JSON, 400),
        ("/decide", b"[1]", JSON, 400),
        ("/decide", b'{"rows": []}', JSON, 400),
        ("/decide", b'{"rows": [1]}', JSON, 400),
        ("/decide", b'{"rows": [{}], "inputs": {}}', JSON, 400),
        ("/decide", b"a,b\n1", {"Content-Type": "text/csv"}, 400),
        ("/decide", b"x", {"Content-Type": "image/png"}, 415),
        ("/decide", b"x", {**JSON, "Content-Encoding": "gzip"}, 415),
        ("/decide", None, {}, 405),
        ("/nothing", None, {}, 404),
        ("/v2/models/other", None, {}, 404),
        ("/v2/models/other/infer", b"{}", JSON, 404),
        ("/invocations", b"[" * 100_000, JSON, 400),
        ("/invocations", b"\xff\xfe", JSON, 400),
        ("/invocations", b"", {**JSON, "Content-Length": str(17 << 20)}, 413),
    ],
)
def test_what_cannot_be_read_is_refused(server: Serving, path: str, body: bytes | None, headers: dict[str, str], status: int) -> None:
    reply = server.ask(path, body, headers)
    assert reply.status == status
    assert reply.json["code"].startswith("PO-J0")
    assert reply.json["try"]


def test_it_says_what_it_is(server: Serving) -> None:
    assert server.ask("/v2").json["extensions"] == ["binary_tensor_data"]
    said = server.ask(model(server)).json
    assert said == server.ask(f"{model(server)}/versions/{server.version}").json
    assert {each["name"]: each["datatype"] for each in said["inputs"]}["name"] == "BYTES"
    for path in ("/v2/health/live", "/v2/health/ready", f"{model(server)}/ready", "/ping", "/health", "/version"):
        assert server.ask(path).status == 200, path


def test_what_was_answered_is_in_the_log_before_the_answer(server: Serving) -> None:
    before = server.log().num_rows
    reply = server.ask("/decide", {"id": "one of mine", "rows": [ROW, {**ROW, "calls_to_support": 0}]})
    new = server.log().slice(before).to_pylist()
    decided = reply.json["decisions"]
    assert [(row["request"], row["row"], row["route"]) for row in new] == [("one of mine", 0, "decide"), ("one of mine", 1, "decide")]
    assert [(row["action"], row["expected_payoff"]) for row in new] == [(d["action"], d["expected_payoff"]) for d in decided]
    assert [row["output"]["p_True"] for row in new] == [d["probabilities"]["churned"] for d in decided]
    assert {row["model"] for row in new} == {server.log().schema.metadata[b"payoff.model"].decode()}
    server.ask("/invocations", {"instances": [ROW]})
    assert server.log().to_pylist()[-1]["action"] is None


def test_the_log_has_no_value_that_its_label_forbids(server: Serving) -> None:
    server.ask("/decide", {"rows": [ROW]})
    table = server.log()
    assert "name" not in [field.name for field in table.schema.field("input").type]
    assert "tenure" in [field.name for field in table.schema.field("input").type]
    for path in (server.folder / ".payoff" / "serving" / "log").rglob("*"):
        assert path.is_dir() or b"geheim" not in path.read_bytes()


def test_figures_for_prometheus(server: Serving) -> None:
    before = server.metric("payoff_logged_rows_total")
    server.ask("/decide", {"rows": [ROW] * 3})
    assert server.metric("payoff_logged_rows_total") == before + 3
    text = server.ask("/metrics").body.decode()
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0, line
    assert 'payoff_requests_total{route="decide",status="200"}' in text


def test_many_clients_share_batches_and_get_their_own_rows(server: Serving, rows: list[dict[str, Any]]) -> None:
    wrong: list[Any] = []

    def client(number: int) -> None:
        for row in rows[number::8][:25]:
            (decided,) = server.ask("/decide", {"rows": plain([row])}).json["decisions"]
            if decided["probabilities"]["churned"] != row["said"]["p_churned"]:
                wrong.append(row["customer_id"])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_no_library_of_the_model_tells_its_maker_of_its_use(apart: Path) -> None:
    with serving(apart, environ={"HF_HUB_DISABLE_TELEMETRY": "0"}) as server:
        (child,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        has = dict(each.split("=", 1) for each in Path(f"/proc/{child}/environ").read_text().split("\0") if each)
        assert has.items() >= {**SILENT, "HF_HUB_DISABLE_TELEMETRY": "0"}.items()  # who sets one decides it


def test_it_goes_on_when_its_model_is_killed(apart: Path) -> None:
    with serving(apart) as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        until(lambda: server.ask("/decide", {"rows": [ROW]}).status == 200)
        assert server.metric("payoff_model_restarts_total") >= 1


def test_a_kill_under_load_loses_no_answer_from_the_log(apart: Path) -> None:
    answered: list[str] = []

    def client(server: Serving, number: int) -> None:
        for count in range(10_000):
            name = f"{number}-{count}"
            try:
                reply = server.ask("/decide", {"id": name, "rows": [ROW]})
            except (OSError, http.client.HTTPException):  # cut off in the middle of an answer: not answered
                return
            if reply.status == 200:
                answered.append(name)

    with serving(apart) as server:
        threads = [threading.Thread(target=client, args=(server, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answered) > 50)
        server.process.kill()
        for thread in threads:
            thread.join()
    assert set(answered) <= set(logged(apart)["request"].to_pylist())
    with serving(apart) as server:  # the next one makes Parquet of what was left
        log = apart / ".payoff" / "serving" / "log" / server.version
        open_ = [path for path in log.glob("*.arrows")]
        assert len(open_) == 1
        assert set(answered) <= {name for path in log.glob("*.parquet") for name in pq.read_table(path)["request"].to_pylist()}


def test_it_answers_what_it_took_before_it_ends(apart: Path) -> None:
    with serving(apart, "--timeout", "60") as server:
        replies: list[int] = []
        body = {"rows": [ROW] * 60_000}  # long enough to be met under way
        thread = threading.Thread(target=lambda: replies.append(server.ask("/decide", body).status))
        thread.start()
        until(lambda: server.metric("payoff_requests_under_way") > 1)
        assert server.stop() == 0
        thread.join()
        assert replies == [200]
    assert not list((apart / ".payoff" / "serving" / "log").rglob("*.arrows"))


def test_a_full_disk_is_told_and_survived(apart: Path) -> None:
    """A file may not grow beyond a limit, as on a disk that is full."""
    with serving(apart) as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        statuses = [server.ask("/decide", {"rows": [ROW] * 20}) for _ in range(12)]
        assert statuses[0].status == 200
        assert statuses[-1].status == 503
        refused = next(reply for reply in statuses if reply.status == 503)
        assert refused.json["code"] == "PO-J035"
        assert int(refused.headers["retry-after"]) >= 1
        assert server.ask("/v2/health/live").status == 200
        good = sum(20 for reply in statuses if reply.status == 200)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: server.ask("/decide", {"rows": [ROW]}).status == 200)  # when there is space again it goes on
    table = logged(apart)
    assert table.num_rows >= good  # what was answered is there, and the file can be read to its end


def test_only_loopback_without_a_token(light: Any) -> None:
    assert "PO-J013" in light.payoff("serve", "--host", "0.0.0.0", "--port", "0", code=2)


def test_a_token_is_asked_for(apart: Path) -> None:
    settings = (apart / "payoff.toml").read_text()
    try:
        (apart / "payoff.toml").write_text(settings + '\n[serving]\ntoken = "${SERVE_TOKEN}"\nlog = "nothing"\n')
        with serving(apart, environ={"SERVE_TOKEN": "0123456789abcdef"}) as server:
            assert server.ask("/decide", {"rows": [ROW]}).status == 401
            assert server.ask("/decide", {"rows": [ROW]}, {**JSON, "Authorization": "Bearer 0123456789abcdee"}).status == 401
            assert server.ask("/decide", {"rows": [ROW]}, {**JSON, "Authorization": "Bearer 0123456789abcdef"}).status == 200
            assert server.ask("/metrics").status == 401
            beside = {"Authorization": "Basic of-a-proxy", "X-Payoff-Token": "0123456789abcdef"}
            figures = server.ask("/metrics", headers=beside)
            assert figures.status == 200
            assert server.ask("/metrics", headers={"X-Payoff-Token": "0123456789abcdee"}).status == 401
            assert server.ask("/decide", {"rows": [ROW]}, {**JSON, **beside}).status == 401, "figures alone are told by it"
            said = dict(line.rsplit(" ", 1) for line in figures.body.decode().splitlines())
            each = float(said["payoff_expected_payoff_total"])
            assert float(said["payoff_expected_payoffs_total"]) == 1
            assert float(said["payoff_expected_payoff_squares_total"]) == each * each
            assert server.ask("/v2/health/ready").status == 200
    finally:
        (apart / "payoff.toml").write_text(settings)


def test_a_run_that_was_refused_is_not_served(light: Any) -> None:
    light.change("charter.toml", "min_gain_per_year = 1000", "min_gain_per_year = 10000000")
    light.run(code=1)
    assert "PO-J002" in light.payoff("serve", "--port", "0", code=1)


@pytest.fixture(scope="module")
def remote(folder: Path) -> Iterator[Serving]:
    pytest.importorskip("grpc", reason="grpcio is not installed (uv pip install 'payoff[serve]')")
    with serving(folder, "--grpc-port", "0", "--no-log") as running:
        yield running


def call(remote: Serving, name: str, request: Any) -> Any:
    import grpc

    from payoff.serving.protocols import messages

    with grpc.insecure_channel(remote.grpc) as channel:
        asked = channel.unary_unary(
            f"/{messages.SERVICE}/{name}",
            request_serializer=messages.message(f"{name}Request").SerializeToString,
            response_deserializer=messages.message(f"{name}Response").FromString,
        )
        return asked(request, timeout=30)


@pytest.mark.parametrize("raw", [True, False])
def test_grpc_says_the_same(remote: Serving, rows: list[dict[str, Any]], raw: bool) -> None:
    from payoff.serving.protocols import messages, tensors

    some = plain(rows[:30])
    request = messages.message("ModelInferRequest")(model_name=remote.model, id="7")
    kinds = {int: ("INT64", "int64_contents"), float: ("FP64", "fp64_contents"), str: ("BYTES", "bytes_contents")}
    for name, sample in some[0].items():
        kind, field = kinds[type(sample)]
        tensor = request.inputs.add(name=name, datatype=kind, shape=[len(some)])
        values = [row[name] for row in some]
        if raw:
            request.raw_input_contents.append(tensors.to_bytes(kind, values))
        else:
            getattr(tensor.contents, field).extend([each.encode() if kind == "BYTES" else each for each in values])
    for name in ("p_True", "action"):
        request.outputs.add(name=name)
    answer = call(remote, "ModelInfer", request)
    chance, action = answer.outputs
    said = [row["said"] for row in rows[:30]]
    if raw:
        assert tensors.from_bytes("FP64", answer.raw_output_contents[0], "p") == [row["p_churned"] for row in said]
        assert tensors.from_bytes("BYTES", answer.raw_output_contents[1], "a") == [row["action"] for row in said]
    else:
        assert list(chance.contents.fp64_contents) == [row["p_churned"] for row in said]
        assert [each.decode() for each in action.contents.bytes_contents] == [row["action"] for row in said]
    assert answer.id == "7"


def test_grpc_tells_what_is_wrong(remote: Serving) -> None:
    import grpc

    from payoff.serving.protocols import messages

    request = messages.message("ModelInferRequest")(model_name=remote.model)
    request.inputs.add(name="tenure", datatype="INT64", shape=[1]).contents.int64_contents.append(1)
    with pytest.raises(grpc.RpcError) as wrong:
        call(remote, "ModelInfer", request)
    assert wrong.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert wrong.value.details().startswith("PO-J022")
    with pytest.raises(grpc.RpcError) as wrong:
        call(remote, "ModelReady", messages.message("ModelReadyRequest")(name="other"))
    assert wrong.value.code() == grpc.StatusCode.NOT_FOUND
    assert call(remote, "ServerLive", messages.message("ServerLiveRequest")()).live
    assert call(remote, "ModelMetadata", messages.message("ModelMetadataRequest")(name=remote.model)).versions == [remote.version]


CLIENT = """
import sys, json
import numpy as np, pandas as pd
import tritonclient.http, tritonclient.grpc
web, remote, model, version = sys.argv[1:]
rows = json.load(sys.stdin)
said = [row.pop("said") for row in rows]
for module, address in ((tritonclient.http, web), (tritonclient.grpc, remote)):
    client = module.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model) and client.is_model_ready(model, version)
    given = []
    for name, sample in rows[0].items():
        kind, dtype = {int: ("INT64", np.int64), float: ("FP64", np.float64), str: ("BYTES", np.object_)}[type(sample)]
        tensor = module.InferInput(name, [len(rows)], kind)
        tensor.set_data_from_numpy(np.array([row[name] for row in rows], dtype=dtype))
        given.append(tensor)
    wanted = [module.InferRequestedOutput(name) for name in ("p_True", "action", "expected_payoff")]
    answer = client.infer(model, given, outputs=wanted, request_id="7")
    assert answer.as_numpy("p_True").tolist() == [each["p_churned"] for each in said]
    assert [each.decode() for each in answer.as_numpy("action").tolist()] == [each["action"] for each in said]
    try:
        client.infer(model, given[:1])
    except Exception as error:
        assert "PO-J022" in str(error)
    else:
        raise SystemExit("a request without most of its columns was answered")
    metadata = client.get_model_metadata(model)
    assert (metadata["name"] if isinstance(metadata, dict) else metadata.name) == model
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
host, port = web.split(":")
client = ScoringServerClient(host, int(port))
client.ping()
answer = client.invoke(pd.DataFrame(rows)).get_predictions()
assert answer.iloc[:, 1].tolist() == [each["p_churned"] for each in said]
print("good")
"""


@pytest.mark.frameworks
def test_clients_of_others_get_the_run_s_own_figures(remote: Serving, rows: list[dict[str, Any]]) -> None:
    """NVIDIA's Triton client by HTTP (binary tensors) and gRPC, and MLflow's scoring client, in an environment of their own."""
    import uv

    given = [{**plain([row])[0], "said": {"p_churned": row["said"]["p_churned"], "action": row["said"]["action"]}} for row in rows[:50]]
    words = ["run", "--no-project", "--isolated", "--with", "tritonclient[http,grpc]", "--with", "mlflow", "python", "-c", CLIENT]
    done = subprocess.run(
        [uv.find_uv_bin(), *words, remote.host, remote.grpc, remote.model, remote.version],
        input=json.dumps(given), capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.stdout.strip().endswith("good"), done.stderr[-3000:]


KSERVE = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
web, remote, model, version = sys.argv[1:]
rows = json.load(sys.stdin)
said = [row.pop("said") for row in rows]

def request(rows, names, binary):
    given = []
    for name in names:
        kind, dtype = {int: ("INT64", np.int64), float: ("FP64", np.float64), str: ("BYTES", np.object_)}[type(rows[0][name])]
        tensor = InferInput(name, [len(rows)], kind)
        tensor.set_data_from_numpy(np.array([row[name] for row in rows], dtype=dtype), binary_data=binary)
        given.append(tensor)
    wanted = [RequestedOutput(name, {"binary_data": binary}) for name in ("p_True", "action")]
    return InferRequest(model, given, request_id="7", request_outputs=wanted)

def same(answer):
    found = {each.name: each.as_numpy() for each in answer.outputs}
    assert answer.id == "7" and answer.model_name == model and list(found) == ["p_True", "action"], (answer, list(found))
    assert found["p_True"].tolist() == [each["p_churned"] for each in said]
    assert [each.decode() if isinstance(each, bytes) else each for each in found["action"].tolist()] == [each["action"] for each in said]

async def refused(asked):
    try:
        await asked
    except Exception as error:
        assert "PO-J022" in str(error) or getattr(error, "response", None) and error.response.json()["code"] == "PO-J022", repr(error)
    else:
        raise SystemExit("a request without most of its columns was answered")

async def main():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        at = "http://" + web
        assert await client.is_server_live(at) and await client.is_server_ready(at) and await client.is_model_ready(at, model)
        for binary in (False, True):
            same(await client.infer(at, request(rows, rows[0], binary), model_name=model))
        await refused(client.infer(at, request(rows, ["tenure"], False), model_name=model))
    async with InferenceGRPCClient(remote) as client:
        assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready(model)
        for binary in (False, True):
            same(await client.infer(request(rows, rows[0], binary)))
        await refused(client.infer(request(rows, ["tenure"], False)))

asyncio.run(main())
print("good")
"""


@pytest.mark.frameworks
@pytest.mark.timeout(400)
def test_kserve_s_clients_get_the_run_s_own_figures(remote: Serving, rows: list[dict[str, Any]]) -> None:
    """KServe's REST client (JSON and binary tensors) and its gRPC client (typed and raw contents), in an environment of their own."""
    import uv

    given = [{**plain([row])[0], "said": {"p_churned": row["said"]["p_churned"], "action": row["said"]["action"]}} for row in rows[:50]]
    words = ["run", "--no-project", "--isolated", "--with", "kserve>=0.15", "python", "-c", KSERVE]
    done = subprocess.run(
        [uv.find_uv_bin(), *words, remote.host, remote.grpc, remote.model, remote.version],
        input=json.dumps(given), capture_output=True, text=True, timeout=380, check=False,
    )  # fmt: skip
    assert done.stdout.strip().endswith("good"), done.stderr[-3000:]


def test_the_messages_are_those_that_an_independent_client_has() -> None:
    from google.protobuf import descriptor_pool

    from payoff.serving.protocols import messages

    theirs = pytest.importorskip("tritonclient.grpc.service_pb2")
    assert descriptor_pool
    for name in messages._MESSAGES:
        ours, other = messages.message(name).DESCRIPTOR, theirs.DESCRIPTOR
        for part in name.split("."):
            other = (other.message_types_by_name if other is theirs.DESCRIPTOR else other.nested_types_by_name)[part]

        def said(message: Any) -> list[Any]:
            return [
                (f.name, f.number, f.type, f.is_repeated, f.message_type and f.message_type.full_name, f.containing_oneof and f.containing_oneof.name)
                for f in message.fields
            ]

        assert said(ours) == said(other), name
        assert ours.full_name == other.full_name


def test_a_model_that_predicts_something_else_than_in_its_run_is_not_served(apart: Path) -> None:
    with serving(apart) as server:
        assert server.ask("/decide", {"rows": [ROW]}).status == 200
    (code,) = (apart / ".payoff" / "serving" / "code").glob("*/pipeline.py")
    code.write_text(code.read_text().replace("3.4 - self", "3.1 - self"))
    done = subprocess.run([servers.PAYOFF, "serve", "--port", "0"], cwd=apart, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "PO-J017" in done.stderr
    rows = json.dumps([{name: value for name, value in ROW.items()}])
    (apart / "rows.jsonl").write_text(rows[1:-1] + "\n")
    done = subprocess.run([servers.PAYOFF, "score", "--input", "rows.jsonl", "--output", "s.parquet"], cwd=apart, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert "PO-J017" in done.stderr


def test_a_capacity_is_kept_by_a_bar(apart: Path) -> None:
    """Row by row the server decides as the run did on the whole holdout, ties at the bar aside."""
    with open(apart / "charter.toml", "a", encoding="utf-8") as stream:
        stream.write('\n[capacity]\naction = "offer"\notherwise = "nothing"\nat_most = 15\nper = "week"\n')
    done = subprocess.run([servers.PAYOFF, "run", "--json"], cwd=apart, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode in {0, 1}, done.stderr
    from payoff.flows.opening import open_past
    from payoff.flows.serve.columns import holdout
    from payoff.flows.show import find

    past = open_past(str(apart))
    record, _ = find(past, "latest")
    with pa.memory_map(str(past.kit.store.path(holdout(record)))) as source:
        given = plain(pa.ipc.open_file(source).read_all().to_pylist())
    with pa.memory_map(str(past.kit.store.path(record.predictions))) as source:
        said = {row["id"]: row["action"] for row in pa.ipc.open_file(source).read_all().to_pylist()}
    with serving(apart, "--anyway") as server:
        answer = server.ask("/decide", {"rows": given}).json
    bar = answer["capacity"]["bar"]
    assert answer["capacity"] == {"action": "offer", "bar": bar, "counted": False}
    assert bar > 0
    ours = [each["action"] for each in answer["decisions"]]
    theirs = [said[row["customer_id"]] for row in given]
    assert 0 < theirs.count("offer") < sum(each["payoffs"]["offer"] > 0 for each in answer["decisions"])
    for one, other, each in zip(ours, theirs, answer["decisions"], strict=True):
        assert one == other or each["payoffs"]["offer"] - each["payoffs"]["nothing"] == bar
        assert each["expected_payoff"] == each["payoffs"][one]


def test_the_log_is_kept_as_long_as_the_shortest_retention_of_what_is_in_it(light: Any) -> None:
    """By the labels of today as well; a column that is not written there says nothing of how long it may be."""
    from payoff.flows.serve.offer import offer

    def days() -> int | None:
        return offer(str(light.root), "latest", lambda _line: None).served.log.days

    assert days() is None
    for column, kept in (("tenure", 60), ("late_payments", 30), ("name", 5)):
        line = next(each for each in (light.root / "contracts/customers.yaml").read_text().splitlines() if f"name: {column}," in each)
        new = line.replace(f"name: {column},", f"name: {column}, customProperties: [{{ property: retention, value: {kept} }}],")
        light.change("contracts/customers.yaml", line, new)
    assert days() == 30
