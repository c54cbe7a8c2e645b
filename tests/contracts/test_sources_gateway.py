"""A gateway's table keeps what every source promises, over TLS, from a process of its own; and what goes wrong is said."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

from payoff.base.errors import OutsideError, PayoffError, Refused, UserError
from payoff.testing.source import SourceSuite, connect, people

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("contracts_gateways", Path(__file__).with_name("gateways.py"))
assert _spec and _spec.loader
gateways = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = gateways
_spec.loader.exec_module(gateways)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with gateways.serving(tmp_path_factory.mktemp("gateway") / "dort") as made:
        yield made


class TestGateway(SourceSuite):
    adapter = "payoff.sources:gateway"
    there: ClassVar[Any] = None

    @pytest.fixture(autouse=True)
    def _place(self, place: Any) -> None:
        type(self).there = place

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        self.there.put(table)
        return dict(self.there.options)


def source(place: Any, **options: Any) -> Any:
    return connect("payoff.sources:gateway", "people", Path(), place.options | options)


def test_an_unchanged_table_has_the_same_version_and_another_another(place: Any) -> None:
    place.put(people())
    one = source(place).version()
    assert one
    assert one == source(place).version()
    place.put(people(5))
    assert one != source(place).version()


def test_what_may_not_be_read_is_refused_in_the_gateways_words(place: Any) -> None:
    place.put(people().append_column("hidden", pa.array([41, 42, 43, 44])))
    there = source(place)
    assert "hidden" not in there.schema().names
    with pytest.raises(Refused, match="people.hidden is secret; at most confidential") as caught:
        there.read(["id", "hidden"])
    assert caught.value.code == "PO-F002"
    with pytest.raises(OutsideError, match="no table 'persons' is offered") as other:
        source(place, table="persons").schema()
    assert other.value.code == "PO-H022"


@pytest.mark.parametrize(
    ("options", "kind", "code"),
    [
        ({"token": "not-a-token-of-anybody"}, UserError, "PO-H021"),
        ({"token": "not a token\nü"}, UserError, "PO-H021"),
        ({"address": "grpc://127.0.0.1:9"}, OutsideError, "PO-H020"),
        ({"address": "http://127.0.0.1:9"}, UserError, "PO-H025"),
        ({"address": "grpc+tls://user:password@127.0.0.1:9"}, UserError, "PO-H025"),
        ({"ca": ""}, OutsideError, "PO-H024"),
        ({"ca": "not-there.pem"}, UserError, "PO-H024"),
        ({"purpose": "marketing"}, Refused, "PO-F003"),
    ],
)
def test_what_is_wrong_is_said_without_the_token(place: Any, options: dict[str, Any], kind: type[PayoffError], code: str) -> None:
    with pytest.raises(kind) as caught:
        source(place, **options).schema()
    assert caught.value.code == code
    said = str(caught.value)
    assert options.get("token", gateways.TOKEN) not in said
    assert "password" not in said


def test_a_broken_connection_is_no_short_table(place: Any) -> None:
    rows = 600_000
    place.put(people(rows))
    for most in (40_000, 1_000_000, 6_000_000):
        wire = gateways.Wire(place.options["address"], most)
        read = 0
        with pytest.raises(OutsideError) as caught:
            for batch in source(place, address=f"grpc+tls://127.0.0.1:{wire.port}").read():
                read += batch.num_rows
        assert caught.value.code in ("PO-H020", "PO-H023")
        assert caught.value.may_retry
        assert read < rows
        wire.close()


def test_a_gateway_that_is_gone_in_the_middle_of_a_table(place: Any, tmp_path: Path) -> None:
    root = shutil.copytree(place.root, tmp_path / "fort")
    with gateways.processes.running(root) as running:
        other = gateways.Place(root, running.address)
        other.put(people(2_000_000))
        reader = source(other).read(["id", "text"])
        next(reader)
        running.process.terminate()
        assert sum(batch.num_rows for batch in reader) > 1_000_000, "what began is brought to its end"
        assert running.process.wait(20) == 0
    with pytest.raises(OutsideError) as caught:
        source(other).read()
    assert caught.value.code == "PO-H020"
