"""A real run with `[lineage]`: what its events say of columns, and that no value, no secret and no failure of a service gets into it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Light

SECRET = "geheim"  # part of every value of the personal column


def events(light: Light) -> list[dict[str, Any]]:
    text = (light.root / ".payoff" / "events.ndjson").read_text(encoding="utf-8")
    assert SECRET not in text
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_tells_its_columns_and_no_values(light: Light) -> None:
    light.append("payoff.toml", '\n[lineage]\nkind = "openlineage"\npath = ".payoff/events.ndjson"\n')
    light.more_customers()
    light.change("sql/examples.sql", "from customers", "from customers where tenure >= 0")
    light.run("--force")
    found = events(light)
    assert (found[0]["eventType"], found[-1]["eventType"]) == ("START", "COMPLETE")
    (examples,) = (
        each["outputs"][0] for each in found if each["job"]["name"].endswith(".examples") and each["eventType"] == "COMPLETE"
    )
    fields = examples["facets"]["columnLineage"]["fields"]
    ways = [(each["name"], each["field"]) for each in fields["name"]["inputFields"] if each["transformations"][0]["type"] == "DIRECT"]
    assert ways == [("customers", "name")]
    decide = [each for each in fields["name"]["inputFields"] if each["field"] == "tenure"]
    assert [each["transformations"] for each in decide] == [[{"type": "INDIRECT", "subtype": "FILTER"}]]
    assert examples["facets"]["payoff_labels"]["classification"]["name"] == "personal"


def test_a_service_that_is_down_is_a_warning_and_the_run_passes(light: Light, monkeypatch: Any) -> None:
    monkeypatch.setenv("LINEAGE_TOKEN", SECRET + "-token")
    light.append("payoff.toml", '\n[lineage]\nkind = "openlineage"\nurl = "http://127.0.0.1:9"\ntoken = "${LINEAGE_TOKEN}"\n')
    light.more_customers()
    assert "warning: PO-O001" in light.payoff("run", code=0)
    assert len(list((light.root / ".payoff" / "openlineage").glob("*.ndjson"))) == 1
    assert "warning: PO-O001" in light.payoff("run", code=0), "an unchanged run tries again"
    monkeypatch.delenv("LINEAGE_TOKEN")
    assert "warning: PO-W013" in light.payoff("run", code=0)


def test_a_defect_while_telling_is_a_warning() -> None:
    """The run is recorded before it is told, and stands."""
    from types import SimpleNamespace

    from payoff.flows.data import emitting

    class Broken:
        def catch_up(self) -> None:
            raise KeyError("nobody thought of this")

    opened = SimpleNamespace(kit=SimpleNamespace(emitter=Broken()))
    (found,) = emitting.catch_up(opened)  # type: ignore[arg-type]
    assert (found.code, found.severity) == ("PO-O004", "warning")
    assert "nobody thought" not in found.what
