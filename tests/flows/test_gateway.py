"""A gateway lets out what labels let through, says why not otherwise, and writes every read down."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import flight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Light


def beside(name: str) -> Any:
    """A file of this folder."""
    spec = importlib.util.spec_from_file_location(f"flows_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


gateways, projects = beside("gateways"), beside("conftest")

VALUE = "logicalType: number, required: true, classification: personal, customProperties: ["
WORTHS = "select calls_to_support, count(*) as n, avg(lifetime_value) as worth from customers group by 1 having count(*) >= 20\n"


def contract(table: str, column: str, lowering: dict[str, Any]) -> str:
    said = {"name": column, "customProperties": [{"property": "lowering", "value": lowering}]}
    head = {"apiVersion": "v3.0.2", "kind": "DataContract", "id": table, "version": "1.0.0", "status": "active"}
    return json.dumps(head | {"schema": [{"name": table, "properties": [said]}]})


def offering(light: Light) -> Light:
    """The light project in fra: lifetime values stay in the EU, their means may leave it; names are personal."""
    light.change("payoff.toml", "[project]\n", '[project]\nzone = "fra"\n')
    light.append("payoff.toml", gateways.ZONES + gateways.OFFER)
    more = "{ property: residency, value: [EU] }, { property: purposes, value: [retention] }, "
    light.change("contracts/customers.yaml", VALUE, VALUE + more)
    light.change("charter.toml", "[objective]\n", '[objective]\npurpose = "retention"\n')
    (light.root / "sql/worths.sql").write_text(WORTHS)
    value = {"operator": "aggregate", "k": 20, "to": "internal", "residency": "any", "purposes": "any", "steward": "Ada"}
    (light.root / "contracts/worths.yaml").write_text(contract("worths", "worth", value))
    assert light.run()["status"] == "passed"
    return light


@pytest.fixture(scope="module")
def served(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Light, Any]]:
    """The project and its gateway."""
    light = offering(projects.Light(projects.copy(made_light, tmp_path_factory.mktemp("gateway") / "ein Stück 数")))
    with gateways.running(light.root) as running:
        yield light, running


class Client:
    def __init__(self, address: str, token: str, **headers: str) -> None:
        self.flight = flight.FlightClient(address)
        sent = [(b"authorization", f"Bearer {token}".encode()), *((k.encode(), v.encode()) for k, v in headers.items())]
        self.options = flight.FlightCallOptions(timeout=60, headers=sent)

    def info(self, table: str, *columns: str) -> flight.FlightInfo:
        command = {"table": table} | ({"columns": columns} if columns else {})
        return self.flight.get_flight_info(flight.FlightDescriptor.for_command(json.dumps(command)), self.options)

    def read(self, table: str, *columns: str) -> Any:
        return self.flight.do_get(self.info(table, *columns).endpoints[0].ticket, self.options).read_all()


@pytest.fixture
def client(served: tuple[Light, Any]) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(name: str, **headers: str) -> Client:
        made.append(Client(served[1].address, gateways.TOKENS[f"{name.upper()}_TOKEN"], **headers))
        return made[-1]

    yield make
    for each in made:
        each.flight.close()


def audit(light: Light, table: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(light.payoff("data", "audit", *([table] if table else []), "--json"))["audit"]
    return [each for each in found if each["how"] == "gateway"]


OPEN = ["customer_id", "tenure", "calls_to_support", "late_payments", "churned"]


def test_a_reader_sees_the_columns_that_may_come_to_it(client: Callable[..., Client]) -> None:
    us, eu = client("us"), client("eu", **{"payoff-purpose": "retention"})
    assert us.info("customers").schema.names == OPEN
    assert us.read("customers").column_names == OPEN
    assert set(eu.info("customers").schema.names) == {*OPEN, "lifetime_value", "name"}
    assert eu.read("customers", "name").num_rows == us.read("customers").num_rows
    assert us.read("worths").column_names == ["calls_to_support", "n", "worth"], "the declared aggregate may go"
    assert us.read("worths").num_rows > 0
    assert {info.descriptor.path[0] for info in us.flight.list_flights(options=us.options)} == {b"customers", b"worths", b"examples"}
