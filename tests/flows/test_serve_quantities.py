"""A server decides quantities as the run did on its holdout: by HTTP, by gRPC, for a whole file, and from a release."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

_spec = importlib.util.spec_from_file_location("flows_servers_of_quantities", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)
_spec = importlib.util.spec_from_file_location("flows_conftest_of_quantities", Path(__file__).with_name("conftest.py"))
assert _spec
assert _spec.loader
flows = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = flows
_spec.loader.exec_module(flows)

if TYPE_CHECKING:
    from conftest import Light

CHARTER = """
[objective]
statement = "Earn more with bread: bring the margin per shop and day from 95 EUR to 99 EUR by June 2027."
owner = "Head of Sales"
[decision]
question = "How many loaves does each shop bake tomorrow?"
examples = "demand"
id = "day_id"
outcome = { column = "asked_for", means = "the loaves that customers asked for that day" }
action = { least = 0, most = 240, step = 4, unit = "loaves" }
per_year = 4380
[payoff]
currency = "EUR"
quantity = "price * least(action, outcome) - 0.8 * action"
[common_solutions]
hundred = { action = 100 }
[split]
by = "hash"
holdout = 0.3
[model]
step = "model"
[costs]
build = 3000
run_per_year = 1000
[accept]
min_gain_per_year = 2000
"""

PIPELINE = """
import pyarrow as pa

from payoff import step


class Fitted:
    def __init__(self, means, otherwise):
        self.means, self.otherwise = means, otherwise

    def predict(self, rows):
        pairs = zip(rows["shop"].to_pylist(), rows["weekend"].to_pylist())
        return [self.means.get(pair, self.otherwise) for pair in pairs]


@step
def model(train: pa.Table):
    groups = train.group_by(["shop", "weekend"]).aggregate([("asked_for", "mean")]).to_pylist()
    asked = train["asked_for"].to_pylist()
    return Fitted({(g["shop"], g["weekend"]): g["asked_for_mean"] for g in groups}, sum(asked) / len(asked))
"""
CONFIG = '[project]\nname = "bakery"\n[sources.demand]\nkind = "files"\npath = "data/demand.csv"\n[tracking]\nenabled = false\n'


def baked(light: Light) -> Light:
    """Twelve shops, 120 days each: weekends ask for half more; bread has three prices."""
    rng = np.random.default_rng(3)
    lines = ["day_id,shop,weekend,price,asked_for"]
    for shop, base in enumerate(rng.uniform(40, 110, 12)):
        for day in range(120):
            weekend = day % 7 >= 5
            asked = rng.poisson(base * (1.5 if weekend else 0.9))
            lines.append(f"{shop * 1000 + day},{shop},{str(weekend).lower()},{3.6 + 0.4 * (day % 3):.1f},{asked}")
    (light.root / "data" / "demand.csv").write_text("\n".join(lines) + "\n")
    (light.root / "data" / "customers.csv").unlink()
    for path in ("contracts/customers.yaml", "sql/examples.sql"):
        (light.root / path).unlink()
    light.write("charter.toml", CHARTER)
    light.write("pipeline.py", PIPELINE)
    light.write("payoff.toml", CONFIG)
    return light


@pytest.fixture(scope="module")
def made(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    light = baked(flows.Light(flows.copy(made_light, tmp_path_factory.mktemp("quantities") / "bakery")))
    assert light.run()["status"] == "passed"
    return Path(light.root)


@pytest.fixture
def bakery(made: Path, tmp_path: Path) -> Light:
    """A copy of a bakery whose run passed."""
    return flows.Light(flows.copy(made, tmp_path / "Bäckerei"))  # type: ignore[no-any-return]


def held_out(light: Light) -> list[dict[str, Any]]:
    """The rows of the holdout, with what the run decided under `said`."""
    from payoff.flows.opening import open_past
    from payoff.flows.serve.columns import holdout
    from payoff.flows.show import find

    past = open_past(str(light.root))
    record, _ = find(past, "latest")

    def table(artifact: Any) -> list[dict[str, Any]]:
        with pa.memory_map(str(past.kit.store.path(artifact))) as source:
            return pa.ipc.open_file(source).read_all().to_pylist()

    said = {each["id"]: each for each in table(record.predictions)}
    return [{**row, "said": said[row["day_id"]]} for row in table(holdout(record))]


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("said", "asked_for")} for row in rows]


def tensors(rows: list[dict[str, Any]], *outputs: str) -> dict[str, Any]:
    kinds = {int: "INT64", float: "FP64", bool: "BOOL"}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": kinds[type(rows[0][name])], "data": [row[name] for row in rows]}
        for name in rows[0]
    ]
    return {"inputs": inputs, "outputs": [{"name": each} for each in outputs]}


def by_grpc(server: Any, rows: list[dict[str, Any]], *outputs: str) -> dict[str, list[float]]:
    import grpc

    from payoff.serving.protocols import messages

    request = messages.message("ModelInferRequest")(model_name=server.model)
    for name, kind, field in (("day_id", "INT64", "int64"), ("shop", "INT64", "int64"), ("weekend", "BOOL", "bool"), ("price", "FP64", "fp64")):
        tensor = request.inputs.add(name=name, datatype=kind, shape=[len(rows)])
        getattr(tensor.contents, f"{field}_contents").extend(row[name] for row in rows)
    for name in outputs:
        request.outputs.add(name=name)
    with grpc.insecure_channel(server.grpc) as channel:
        asked = channel.unary_unary(
            f"/{messages.SERVICE}/ModelInfer",
            request_serializer=messages.message("ModelInferRequest").SerializeToString,
            response_deserializer=messages.message("ModelInferResponse").FromString,
        )
        return {each.name: list(each.contents.fp64_contents) for each in asked(request, timeout=30).outputs}


def offered(light: Light) -> Any:
    from payoff.flows.serve.offer import offer

    return offer(str(light.root), "latest", lambda _line: None)


def test_every_quantity_is_that_of_the_run(bakery: Light) -> None:
    rows = held_out(bakery)
    actions = [row["said"]["action"] for row in rows]
    assert len(set(actions)) > 10
    with servers.serving(bakery.root, "--grpc-port", "0") as server:
        answer = server.ask("/decide", {"rows": plain(rows)}).json
        assert [each["action"] for each in answer["decisions"]] == actions
        assert [each["forecast"] for each in answer["decisions"]] == [row["said"]["prediction"] for row in rows]
        assert (answer["currency"], answer["unit"]) == ("EUR", "loaves")
        expected = [each["expected_payoff"] for each in answer["decisions"]]
        got = sum(row["said"]["payoff"] for row in rows)
        assert sum(expected) == pytest.approx(got, rel=0.02), "what was to be expected came"
        # One at a time, and in any company, a row is decided the same.
        alone = [server.ask("/decide", {"rows": plain([row])}).json["decisions"][0] for row in rows[:20]]
        assert alone == answer["decisions"][:20]
        infer = f"/v2/models/{quote(server.model)}/infer"
        told = server.ask(infer, tensors(plain(rows), "action", "expected_payoff")).json["outputs"]
        assert [(each["datatype"], each["data"]) for each in told] == [("FP64", actions), ("FP64", expected)]
        assert by_grpc(server, plain(rows), "action", "expected_payoff") == {"action": actions, "expected_payoff": expected}
        log = server.log()
        assert log["action"].type == pa.float64()
        assert log.slice(0, len(rows))["action"].to_pylist() == actions
        assert log.slice(0, len(rows))["expected_payoff"].to_pylist() == expected
        decided = server.metric("payoff_decided_quantity_total")
        assert decided == pytest.approx(3 * sum(actions) + sum(actions[:20]))
    pq.write_table(pa.Table.from_pylist(plain(rows)), bakery.root / "rows.parquet")
    said = bakery.payoff("score", "--input", "rows.parquet", "--output", "scores.parquet", "--part", "100", "--workers", "1")
    scores = pq.read_table(bakery.root / "scores.parquet")
    assert scores["action"].to_pylist() == actions
    assert scores["expected_payoff"].to_pylist() == expected
    assert f"{sum(expected):,.0f} EUR" in said


def test_a_release_carries_the_errors_of_the_forecasts(bakery: Light, tmp_path: Path) -> None:
    """What is sealed into an image and opened there decides as the run did, without the project, its tables and its store."""
    from payoff.flows.serve import released
    from payoff.serving.decisions.deciding import decider

    made = offered(bakery)
    digest = released.sha256_of(made.model)
    place = tmp_path / "image" / "opt" / "model"
    place.mkdir(parents=True)
    (place / released.MODEL).write_bytes(made.model.read_bytes())
    for name, content in released.seal(made, digest).items():
        (place / name).write_bytes(content)
    said = held_out(bakery)
    sealed = (place / released.SAID).read_text()
    assert sealed.count("asked_for") < 5, "the rows that errors were made on stay at home"
    bakery.root.rename(tmp_path / "gone")
    opened = released.opened(str(place), {"PAYOFF_OPEN": "1", "PAYOFF_HOME": str(tmp_path / "home")})
    assert opened.served.errors == made.served.errors
    columns = [each.name for each in opened.served.columns]
    rows = pa.RecordBatch.from_pylist(plain(said)).select(columns)
    answered = pa.RecordBatch.from_pydict({"prediction": [row["said"]["prediction"] for row in said]})
    decisions = decider(opened.served, opened.kit.engine).decide(rows, answered)
    assert decisions.chosen.tolist() == [row["said"]["action"] for row in said]


def test_a_model_that_names_the_quantity_is_taken_at_its_word(bakery: Light) -> None:
    bakery.change("charter.toml", 'step = "model"', 'step = "model"\ngives = "action"')
    bakery.run()
    rows = held_out(bakery)[:50]
    actions = [row["said"]["action"] for row in rows]
    with servers.serving(bakery.root, "--anyway") as server:
        answer = server.ask("/decide", {"rows": plain(rows)}).json
        assert answer["decisions"] == [{"action": each, "expected_payoff": None} for each in actions]
        infer = f"/v2/models/{quote(server.model)}/infer"
        assert server.ask(infer, tensors(plain(rows), "action")).json["outputs"][0]["data"] == actions
        refused = server.ask(infer, tensors(plain(rows), "expected_payoff"))
        assert (refused.status, "'expected_payoff'" in refused.json["error"]) == (400, True), "what it should bring, nobody knows"
        assert server.log()["expected_payoff"].null_count == server.log().num_rows > 0
    pq.write_table(pa.Table.from_pylist(plain(rows)), bakery.root / "rows.parquet")
    bakery.payoff("score", "--input", "rows.parquet", "--output", "scores.parquet", "--anyway")
    scores = pq.read_table(bakery.root / "scores.parquet")
    assert scores["action"].to_pylist() == actions
    assert "expected_payoff" not in scores.column_names


def test_money_that_is_none_for_an_outcome_that_could_come_is_told_by_row(bakery: Light) -> None:
    bakery.change("charter.toml", "0.8 * action", "0.8 * action / (price - 99)")
    bakery.run(code=None)
    rows = plain(held_out(bakery)[:3])
    rows[1]["price"] = 99.0
    with servers.serving(bakery.root, "--anyway") as server:
        reply = server.ask("/decide", {"rows": rows})
        assert reply.status == 422
        assert reply.json["faults"] == [{"row": 1, "column": "payoff.quantity", "rule": "is an amount of money for every row"}]


def test_a_run_whose_errors_are_gone_is_refused_with_what_to_do(bakery: Light) -> None:
    from payoff.flows.opening import open_past
    from payoff.flows.show import find

    past = open_past(str(bakery.root))
    record, _ = find(past, "latest")
    scores = next(stage for stage in record.stages if stage.name == "try out").output
    past.kit.store.path(scores).unlink()
    said = bakery.payoff("serve", "--port", "0", code=2)
    assert "PO-V012" in said
    assert "payoff run --force" in said
    assert bakery.run("--force")["status"] == "passed"
    assert offered(bakery).served.errors is not None


@pytest.mark.parametrize(
    ("sql", "names"),
    [("4.0 * least(action, outcome) - 0.8 * action", []), ("Price * least(action, outcome) - case when weekend then 1 else 0.8 end * action", ["weekend", "price"])],
)
def test_only_the_columns_that_money_is_computed_from_are_asked_for(bakery: Light, sql: str, names: list[str]) -> None:
    import msgspec

    from payoff.flows.serve.columns import needed

    charter = offered(bakery).served.charter
    other = msgspec.structs.replace(charter, quantity=msgspec.structs.replace(charter.quantity, sql=sql))
    assert needed(other, ["day_id", "shop", "weekend", "price", "asked_for"]) == names
