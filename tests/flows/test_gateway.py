"""A gateway lets out what labels let through, says why not otherwise, and writes every read down."""

from __future__ import annotations

import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
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


@pytest.mark.parametrize(
    ("reader", "column", "code"),
    [("us", "lifetime_value", "PO-F001"), ("us", "name", "PO-F002"), ("eu", "lifetime_value", "PO-F003"), ("us", "nam", "PO-H011")],
)
def test_a_column_that_may_not_be_read_is_refused_by_its_rule(
    client: Callable[..., Client], served: tuple[Light, Any], reader: str, column: str, code: str
) -> None:
    """The reader eu reads for research, too, which lifetime values are not for, unless it says that it does not."""
    with pytest.raises(flight.FlightUnauthorizedError, match=code) as caught:
        client(reader).info("customers", column)
    assert json.loads(caught.value.extra_info)["code"] == code
    newest = audit(served[0], "customers")[0]
    assert (newest["who"], newest["columns"], newest["refused"][:7]) == (reader, [column], code)


def test_rows_that_may_not_be_read_do_not_leave(client: Callable[..., Client]) -> None:
    everything, few = client("us").read("customers"), client("few").read("customers")
    calls = [value for value in everything["calls_to_support"].to_pylist() if value >= 3]
    assert 0 < len(calls) < everything.num_rows
    assert sorted(few["calls_to_support"].to_pylist()) == sorted(calls)


def test_a_purpose_is_one_of_the_readers(client: Callable[..., Client]) -> None:
    assert "lifetime_value" not in client("eu").info("customers").schema.names
    with pytest.raises(flight.FlightUnauthorizedError, match="PO-F003"):
        client("us", **{"payoff-purpose": "retention"}).info("customers")


def test_what_is_not_offered_is_not_there(client: Callable[..., Client]) -> None:
    for reader, table in (("few", "worths"), ("us", "scores"), ("us", "model")):
        with pytest.raises(flight.FlightUnauthorizedError, match="PO-H010"):
            client(reader).info(table)


@pytest.mark.parametrize("token", ["", "us", "us-0123456789abcdeF", "us-0123456789abcdef0", "ü" * 20])
def test_nobody_reads_without_a_token(served: tuple[Light, Any], token: str) -> None:
    stranger = Client(served[1].address, token)
    with pytest.raises((flight.FlightUnauthenticatedError, flight.FlightError)) as caught:
        stranger.info("customers")
    assert token == "" or token not in str(caught.value).replace("Bearer TOKEN", "")
    with pytest.raises(flight.FlightError):
        list(stranger.flight.list_flights(options=stranger.options))
    stranger.flight.close()


def test_a_ticket_is_of_use_to_its_reader_alone(client: Callable[..., Client]) -> None:
    us, few = client("us"), client("few")
    ticket = us.info("customers").endpoints[0].ticket
    assert us.flight.do_get(ticket, us.options).read_all().num_rows
    bent = ticket.ticket[:-6] + bytes([ticket.ticket[-6] ^ 1]) + ticket.ticket[-5:]
    for who, given in ((few, ticket.ticket), (us, bent), (us, b"x.eyJ9"), (us, b"")):
        with pytest.raises(flight.FlightUnauthorizedError, match="PO-H014"):
            who.flight.do_get(flight.Ticket(given), who.options).read_all()


def test_rows_come_in_pieces(client: Callable[..., Client]) -> None:
    us = client("us")
    sizes = [chunk.data.num_rows for chunk in us.flight.do_get(us.info("customers").endpoints[0].ticket, us.options)]
    assert len(sizes) > 1
    assert max(sizes) <= 100


def test_every_read_is_written_down(client: Callable[..., Client], served: tuple[Light, Any]) -> None:
    before = len(audit(served[0]))
    table = client("us").read("customers", "tenure", "churned")
    newest, *older = audit(served[0])
    assert len(older) == before
    assert newest["who"] == "us"
    assert (newest["columns"], newest["rows"], newest["zone"]) == (["tenure", "churned"], table.num_rows, "vir")
    assert not newest.get("refused")


def test_the_version_is_that_of_what_may_be_read(client: Callable[..., Client], served: tuple[Light, Any]) -> None:
    us, few = client("us"), client("few")
    version = us.info("customers").app_metadata
    assert version == us.info("customers").app_metadata
    assert version != few.info("customers").app_metadata
    assert served[0].runs()[0]["run"].encode() not in version


@pytest.mark.parametrize("command", [b"{", b'{"table": 1}', b'{"table": "customers", "where": "1"}', b"\xff\xff\xff", b"["])
def test_what_cannot_be_understood_is_said(client: Callable[..., Client], command: bytes) -> None:
    us = client("us")
    with pytest.raises(flight.FlightError, match="PO-H017"):
        us.flight.get_flight_info(flight.FlightDescriptor.for_command(command), us.options)


# -- what changes while it serves


@pytest.fixture
def changing(served: tuple[Light, Any], tmp_path: Path) -> Iterator[tuple[Light, Any]]:
    """A copy with a gateway of its own, to be spoilt."""
    light = projects.Light(projects.copy(served[0].root, tmp_path / "changing"))
    with gateways.running(light.root) as running:
        yield light, running


def test_a_rule_that_becomes_stricter_holds_at_once(changing: tuple[Light, Any]) -> None:
    light, running = changing
    us = Client(running.address, gateways.TOKENS["US_TOKEN"])
    ticket = us.info("worths").endpoints[0].ticket
    light.change("contracts/worths.yaml", '"k": 20', '"k": 30')
    assert us.flight.do_get(ticket, us.options).read_all().column_names == ["calls_to_support", "n"]
    with pytest.raises(flight.FlightUnauthorizedError, match="PO-F001"):
        us.info("worths", "worth")
    light.change("contracts/worths.yaml", '"k": 30', '"k": 20')
    assert "worth" in us.read("worths").column_names

    # What was made by another query than the one that stands there now is not served under the labels of that one.
    light.change("sql/worths.sql", "avg(lifetime_value)", "sum(lifetime_value)")
    with pytest.raises(flight.FlightUnauthorizedError, match="PO-H013"):
        us.info("worths")
    light.change("sql/worths.sql", "sum(lifetime_value)", "avg(lifetime_value)")
    light.change("payoff.toml", '"${US_TOKEN}"', '"${OTHER_TOKEN}"')
    with pytest.raises(flight.FlightError, match="PO-W013"):
        us.info("customers")
    light.write("payoff.toml", "nonsense")
    with pytest.raises(flight.FlightError, match="PO-P"):
        us.info("customers")
    assert running.stop() == 0


def test_a_read_that_cannot_be_written_down_is_none(changing: tuple[Light, Any]) -> None:
    light, running = changing
    us = Client(running.address, gateways.TOKENS["US_TOKEN"])
    ticket = us.info("customers").endpoints[0].ticket
    ledger = light.root / ".payoff/ledger.db"
    import sqlite3

    with sqlite3.connect(ledger) as spoiling:
        spoiling.execute("create trigger deaf before insert on journal begin select raise(abort, 'deaf'); end")
    spoiling.close()
    with pytest.raises(flight.FlightError) as caught:
        us.flight.do_get(ticket, us.options).read_all()
    assert "PO-" in str(caught.value)


def test_a_row_rule_over_a_hidden_column_is_refused(changing: tuple[Light, Any]) -> None:
    """Which rows come would tell its values."""
    light, running = changing
    light.change("payoff.toml", "calls_to_support >= 3", "lifetime_value > 100")
    with pytest.raises(flight.FlightUnauthorizedError, match="PO-H012"):
        Client(running.address, gateways.TOKENS["FEW_TOKEN"]).info("customers")


@pytest.mark.parametrize(
    ("old", "new", "host", "code"),
    [
        ('tables = ["customers", "worths", "examples"]', 'tables = ["custmers"]', "127.0.0.1", "PO-H001"),
        ('tables = ["customers", "worths", "examples"]', "tables = []", "127.0.0.1", "PO-H001"),
        ('"${EU_TOKEN}"', '"${US_TOKEN}"', "127.0.0.1", "PO-H002"),
        ('"${EU_TOKEN}"', '"${SHORT}"', "127.0.0.1", "PO-H002"),
        ('"${EU_TOKEN}"', '"${NOT_SET}"', "127.0.0.1", "PO-W013"),
        ('"${EU_TOKEN}"', '"secret"', "127.0.0.1", "PO-P009"),
        ("batch_rows = 100", "batch_rows = 100", "0.0.0.0", "PO-H003"),
        ("batch_rows = 100", 'certificate = "a.pem"', "127.0.0.1", "PO-H004"),
        ("batch_rows = 100", "batch_rows = 100", "203.0.113.7", "PO-H003"),
        ("batch_rows = 100", "insecure = true", "203.0.113.7", "PO-H005"),
        ('zone = "vir"\ntables', 'zone = "mars"\ntables', "127.0.0.1", "PO-P015"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_may_read(
    served: tuple[Light, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, host: str, code: str
) -> None:
    from payoff.base.errors import PayoffError
    from payoff.gateway.serve import serve

    light = projects.Light(projects.copy(served[0].root, tmp_path / "wrong"))
    for name, value in (gateways.TOKENS | {"SHORT": "short"}).items():
        monkeypatch.setenv(name, value)
    light.change("payoff.toml", old, new)
    with pytest.raises(PayoffError) as caught:
        serve(str(light.root), host, 0, lambda address, spec: pytest.fail(f"serves at {address}"))
    assert caught.value.code == code
    assert "0123456789" not in str(caught.value)


# -- Flight SQL, read by Arrow's own client


@pytest.fixture
def sql(served: tuple[Light, Any]) -> Iterator[Callable[[str], Any]]:
    from adbc_driver_flightsql import DatabaseOptions, dbapi

    made = []

    def connect(name: str) -> Any:
        token = gateways.TOKENS[f"{name.upper()}_TOKEN"]
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
        made.append(dbapi.connect(served[1].address, db_kwargs=options, autocommit=True))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def fetch(connection: Any, query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetch_arrow_table()


def test_sql_reads_what_may_be_read(sql: Callable[[str], Any], served: tuple[Light, Any]) -> None:
    us, few = sql("us"), sql("few")
    answer = fetch(us, "select calls_to_support, count(*) as n from customers group by 1 order by 1")
    assert answer.column_names == ["calls_to_support", "n"]
    newest = audit(served[0])[0]
    assert (newest["table"], newest["columns"], newest["rows"]) == ("customers", ["calls_to_support"], answer.num_rows)
    fewer = fetch(few, "select min(calls_to_support) as least, count(*) as n from customers")
    assert fewer.to_pylist() == [{"least": 3, "n": sum(row["n"] for row in answer.to_pylist() if row["calls_to_support"] >= 3)}]
    joined = fetch(us, "select w.worth from worths w join customers c using (calls_to_support) limit 3")
    assert joined.num_rows == 3
    assert fetch(us, "select * from customers limit 1").column_names == OPEN


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("select lifetime_value from customers", "PO-F001"),
        ("select customer_id from customers where lifetime_value > 100", "PO-F001"),
        ("select customer_id from customers order by customers.name", "PO-F002"),
        ("select count(*) from customers c, worths w where c.name = 'geheim1'", "PO-F002"),
        ("select customer_id from customers where exists (select 1 from train)", "PO-E002"),
        ("select * from read_csv('data/customers.csv')", "PO-E008"),
        ("select * from 'data/customers.csv'", "PO-E002"),
        ("select * from duckdb_tables()", "PO-E008"),
        ("create table t as select 1 as a", "PO-E001"),
        ("select 1 as a; select 2 as b", "PO-E001"),
        ("attach 'x.db'", "PO-E001"),
    ],
)
def test_sql_sees_nothing_else(sql: Callable[[str], Any], served: tuple[Light, Any], query: str, code: str) -> None:
    connection = sql("us")
    with pytest.raises(connection.Error, match=code) as caught:
        fetch(connection, query)
    assert "geheim" not in str(caught.value).replace("geheim1'", "")


def test_readers_beside_each_other_see_their_own_rows(sql: Callable[[str], Any]) -> None:
    query = "select min(calls_to_support) as least, count(*) as n from customers"

    def ask(name: str) -> set[int]:
        connection = sql(name)
        return {fetch(connection, query).to_pylist()[0]["least"] for _ in range(15)}

    with ThreadPoolExecutor(4) as pool:
        few, us, few_too, us_too = pool.map(ask, ["few", "us", "few", "us"])
    assert few == few_too == {3}
    assert us == us_too == {0}


def test_sql_says_what_there_is(sql: Callable[[str], Any]) -> None:
    us = sql("us")
    assert us.adbc_get_info()["vendor_name"] == "Payoff gateway"
    assert us.adbc_get_table_types() == ["TABLE"]
    found = us.adbc_get_objects(depth="columns").read_all().to_pylist()
    tables = {t["table_name"]: [c["column_name"] for c in t["table_columns"]] for c in found for s in c["catalog_db_schemas"] for t in s["db_schema_tables"]}
    assert tables["customers"] == OPEN
    assert tables["worths"] == ["calls_to_support", "n", "worth"]
    assert us.adbc_get_table_schema("worths").names == ["calls_to_support", "n", "worth"]


def test_sql_does_not_write(sql: Callable[[str], Any]) -> None:
    import pyarrow as pa

    us = sql("us")
    with us.cursor() as cursor, pytest.raises(us.Error):
        cursor.adbc_ingest("mine", pa.table({"a": [1]}), mode="create")
