"""Labels go along with a table through a gateway: two projects, a gateway between them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("flows_test_gateway_for_labels", Path(__file__).with_name("test_gateway.py"))
assert _spec and _spec.loader
served = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = served
_spec.loader.exec_module(served)
gateways, projects = served.gateways, served.projects
THERE = 'kind = "gateway"\naddress = "{}"\ntoken = "${{EU_TOKEN}}"\npurpose = "retention"\nzone = "fra"\n'
SINK = '\n[sinks.partner]\nkind = "files"\ntable = "examples"\npath = "out/examples.parquet"\nzone = "vir"\n'


@pytest.fixture(scope="module")
def both(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """The project that holds the data in fra, and another in fra that has no word of a label."""
    folder = tmp_path_factory.mktemp("two")
    here = served.offering(projects.Light(projects.copy(made_light, folder / "fra")))
    with gateways.running(here.root) as running:
        yield folder, running.address


@pytest.fixture
def far(both: tuple[Any, str], made_light: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, token in gateways.TOKENS.items():
        monkeypatch.setenv(name, token)
    light = projects.Light(projects.copy(made_light, tmp_path / "other"))
    shutil.rmtree(light.root / ".payoff/store")
    light.change("payoff.toml", 'kind = "files"\npath = "data/customers.csv"\n', THERE.format(both[1]))
    light.change("payoff.toml", "[project]\n", '[project]\nzone = "fra"\n')
    light.append("payoff.toml", gateways.ZONES.replace("[zones.fra]\n", "[zones.fra]\ngateway = true\n"))
    (light.root / "data/customers.csv").unlink()
    (light.root / "contracts/customers.yaml").unlink()
    light.change("charter.toml", "[objective]\n", '[objective]\npurpose = "retention"\n')
    return light


def found(light: Any) -> list[dict[str, Any]]:
    listed = json.loads(light.payoff("check", "--json", code=None))["findings"]
    assert [each for each in listed if each["severity"] == "error" and not each["code"].startswith("PO-F")] == []
    return [each for each in listed if each["code"].startswith("PO-F") and each["severity"] == "error"]


def test_what_holds_there_holds_here_without_a_contract(far: Any) -> None:
    assert found(far) == [], "in fra, for retention, all of it is lawful"
    far.append("payoff.toml", SINK)
    codes = {each["code"]: each for each in found(far)}
    assert codes.keys() == {"PO-F001", "PO-F002"}
    assert "customers.lifetime_value may be in fra only (so it came from its source)" in codes["PO-F001"]["what"]
    assert "customers.name is personal" in codes["PO-F002"]["what"] + str(found(far))
    answer = far.run(code=1)
    assert {each["code"] for each in answer["errors"]} <= {"PO-F001", "PO-F002"}
    far.change("payoff.toml", 'zone = "vir"\n', 'zone = "fra"\n')
    far.change("charter.toml", '"retention"', '"marketing"')
    assert {each["code"] for each in found(far)} == {"PO-F003"}
    far.change("charter.toml", '"marketing"', '"retention"')
    record = far.run()
    assert record["status"] == "passed"
    # What came as personal is masked here, too.
    assert projects.SECRET not in far.payoff("data", "sample", "customers")
    shown = json.loads(far.payoff("data", "show", "customers", "--json"))
    assert "personal" in json.dumps(shown)


def test_a_contract_may_say_more_and_not_less(far: Any) -> None:
    def contract(**said: Any) -> None:
        head = {"apiVersion": "v3.0.2", "kind": "DataContract", "id": "customers", "version": "1.0.0", "status": "active"}
        column = {"name": "lifetime_value"} | ({"classification": said.pop("classification")} if "classification" in said else {})
        column["customProperties"] = [{"property": key, "value": value} for key, value in said.items()]
        text = json.dumps(head | {"schema": [{"name": "customers", "properties": [column]}]})
        (far.root / "contracts/customers.yaml").write_text(text, encoding="utf-8")

    contract(classification="internal", residency=["any"])
    (finding,) = found(far)
    assert finding["code"] == "PO-F013"
    assert "customers.lifetime_value is internal, in any by its contract, but personal, in fra where it comes from" in finding["what"]
    assert finding["where"]["file"] == "contracts/customers.yaml"
    assert finding["try"]
    assert far.run(code=1)["errors"][0]["code"] == "PO-F013"
    contract(purposes=["retention", "marketing"])
    assert "for marketing or retention by its contract, but for retention" in found(far)[0]["what"]
    contract(classification="secret", residency=["DE"], purposes=["retention"])
    assert {each["code"] for each in found(far)} == {"PO-F004"}, "stricter holds: no model learns a secret"
    contract(classification="personal", residency=["EU"])
    assert found(far) == []


def test_a_rule_that_changes_there_holds_here_at_the_next_run(far: Any, both: tuple[Any, str]) -> None:
    assert found(far) == []
    file = both[0] / "fra/contracts/customers.yaml"
    before = file.read_text()
    try:
        file.write_text(before.replace("classification: personal, logicalTypeOptions", "classification: secret, logicalTypeOptions"))
        codes = {each["code"] for each in found(far)}
    finally:
        file.write_text(before)
    assert codes == {"PO-F004"}
