"""The log of predictions when no server runs: `payoff data expire` removes what may not be kept, and what it removes is written down."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.flows.data import expire as flow

if TYPE_CHECKING:
    import pytest

_spec = importlib.util.spec_from_file_location("flows_servers_of_log", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)

ROW = {"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}
INFER = {"customer_id": "INT64", "tenure": "INT64", "calls_to_support": "INT64", "late_payments": "INT64", "lifetime_value": "FP64", "name": "BYTES"}


def keep_for(light: Any, column: str, days: int) -> None:
    text = (light.root / "contracts/customers.yaml").read_text()
    line = next(each for each in text.splitlines() if f"{{ name: {column}," in each)
    light.change("contracts/customers.yaml", line, line.replace(f"name: {column},", f"name: {column}, customProperties: [{{ property: retention, value: {days} }}],"))


def log(root: Path) -> list[Path]:
    return sorted(each for each in (root / ".payoff/serving/log").rglob("*") if each.is_file())


def due(light: Any, **more: Any) -> list[Any]:
    return [each for each in flow.expire(str(light.root), **more) if each.what == "log"]


def test_files_of_the_log_go_though_no_server_runs(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet, and the segment that a killed server left; by what the file says, though the contract says nothing any more."""
    keep_for(light, "tenure", 30)
    for killed in (False, True):
        with servers.serving(light.root) as server:
            assert server.ask("/decide", {"rows": [ROW]}).status == 200
            if not killed:
                server.stop()
    (light.root / ".payoff/serving/log/x").mkdir()
    (light.root / ".payoff/serving/log/x/y.damaged").write_bytes(b"nothing that can be read")
    kept = log(light.root)
    assert sorted(each.suffix for each in kept) == [".arrows", ".damaged", ".parquet"]
    assert due(light, erase=True) == []
    assert log(light.root) == kept

    def later(days: float) -> None:
        monkeypatch.setattr(flow, "now", lambda: (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat())

    later(29.9)
    assert due(light, erase=True) == []
    later(30)
    found = due(light, erase=False)
    assert {(each.days, each.age, each.column) for each in found} == {(30, 30, "examples.tenure"), (30, 30, "examples")}
    assert {each.rows for each in found} == {1, None}
    assert log(light.root) == kept
    light.mend()  # the contract as it was: the files themselves say 30 days; of the damaged one nobody knows
    found = due(light, erase=True)
    assert {(each.days, each.column, each.erased) for each in found} == {(30, "the log", True)}
    assert [each.suffix for each in log(light.root)] == [".damaged"]
    assert due(light, erase=True) == []
    monkeypatch.undo()
    opened = flow.Catalog(str(light.root)).opened
    events = [body for _, body in opened.kit.ledger.read(opened.id, event="expired", limit=99).events]
    assert {each["version"] for each in events if each["what"] == "log"} == {each.version for each in found}


def test_what_somebody_writes_to_stays(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_for(light, "tenure", 1)
    with servers.serving(light.root) as server:
        assert server.ask("/decide", {"rows": [ROW]}).status == 200
        monkeypatch.setattr(flow, "now", lambda: "2100-01-01T00:00:00.000Z")
        assert due(light, erase=True) == []
        assert len(log(light.root)) == 1


def test_a_request_s_name_is_kept_with_each_row_and_may_not_be_long(light: Any) -> None:
    """By whatever protocol it comes: else a body of one megabyte would become one for each of its rows."""
    name, rows = "n" * 100_000, [ROW] * 100
    with servers.serving(light.root) as server:
        tensors = [{"name": key, "shape": [100], "datatype": kind, "data": [ROW[key]] * 100} for key, kind in INFER.items()]
        for path, form in (("/decide", {"rows": rows}), ("/invocations", {"dataframe_records": rows}), (f"/v2/models/{servers.quote(server.model)}/infer", {"inputs": tensors})):
            assert server.ask(path, {"id": name, **form}, keeps=False).status == 200, path
        server.stop()
    assert {len(each) for each in servers.logged(light.root)["request"].to_pylist()} == {128}
    assert sum(each.stat().st_size for each in log(light.root)) < 100_000
