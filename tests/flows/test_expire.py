"""What labels permit to be kept for some days is gone after them, with all that was made of it; the rest stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from payoff.flows.data import expire as flow
from payoff.flows.data.history import history


def keep_for(light: Any, column: str, days: int) -> None:
    text = (light.root / "contracts/customers.yaml").read_text()
    line = next(each for each in text.splitlines() if f"{{ name: {column}," in each)
    light.change("contracts/customers.yaml", line, line.replace(f"name: {column},", f"name: {column}, customProperties: [{{ property: retention, value: {days} }}],"))


def later(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    monkeypatch.setattr(flow, "now", lambda: f"{year}-01-01T00:00:00.000Z")


def kept(light: Any) -> set[str]:
    return {file.name for file in (light.root / ".payoff/store").rglob("*") if file.is_file()}


def test_what_is_due_goes_and_what_was_made_of_it(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_for(light, "name", 30)
    root = str(light.root)
    assert flow.expire(root, erase=True) == ()
    before = kept(light)
    later(monkeypatch, 2100)
    due = flow.expire(root, erase=False)
    assert kept(light) == before
    assert {(each.what, each.table) for each in due} >= {("table", "examples"), ("table", "rates"), ("predictions", "examples")}
    assert {(each.days, each.erased) for each in due} == {(30, False)}
    gone = flow.expire(root, erase=True)
    assert [each.version for each in gone] == [each.version for each in due]
    assert all(each.erased for each in gone)
    left = kept(light)
    assert not any(file.endswith(".arrow") for file in left), left
    assert any(file.endswith(".pickle") for file in left)  # the model, which nobody asked for
    assert flow.expire(root, erase=True) == ()
    (version,) = history(root, "customers")
    assert not version.kept
    assert version.expired.startswith("erased on 2100-01-01 under the retention of customers.")
    assert version.expired.endswith(" (30 days)")
    assert len(flow.expire(root, erase=True, models=True)) == 1
    monkeypatch.undo()
    assert "erased on 2100-01-01 under" in " ".join(light.payoff("data", "history", "customers").split())
    assert light.run("--force")["status"] == "passed"  # what the source still has is read anew


def test_a_limit_that_is_not_reached_and_none_at_all(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch, 2100)
    assert flow.expire(str(light.root), erase=True) == ()
    keep_for(light, "name", 100_000)
    assert flow.expire(str(light.root), erase=True) == ()
    light.is_whole()


def test_what_a_kill_and_the_laboratory_left_goes_too(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_for(light, "name", 1)
    light.payoff("reproduce", code=None)
    light.change("pipeline.py", '("churned", "count")', '("churned", "max")')
    light.run()
    light.payoff("why", light.first["run"], "latest", code=None)
    later(monkeypatch, 2100)
    flow.expire(str(light.root), erase=True, models=True)
    assert {file for file in kept(light) if file.endswith((".arrow", ".pickle"))} == set()


def test_the_screen_and_the_document(light: Any) -> None:
    assert "nothing is kept for longer" in light.payoff("data", "expire")
    assert json.loads(light.payoff("data", "expire", "--json")) == {"expire": []}


def test_what_held_when_it_was_stored_holds_though_the_contract_no_longer_speaks_of_it(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The column leaves the source and the contract; what was stored of it before is erased all the same, and what was not limited is not."""
    keep_for(light, "name", 30)
    assert light.run("--force")["status"] == "passed"
    limited = json.loads(light.payoff("show", "--json"))["tables"]["customers"]["id"]
    light.mend()
    lines = [line.rpartition(",")[0] for line in (light.root / "data/customers.csv").read_text().splitlines()]
    light.write("data/customers.csv", "\n".join(lines) + "\n")
    light.change("sql/examples.sql", "churned, name", "churned")
    text = (light.root / "contracts/customers.yaml").read_text().splitlines()
    light.write("contracts/customers.yaml", "\n".join(line for line in text if "{ name: name," not in line) + "\n")
    free = light.run()["tables"]["customers"]["id"]
    assert free != limited
    later(monkeypatch, 2100)
    gone = {each.version: each for each in flow.expire(str(light.root), erase=True)}
    assert (gone[limited].column, gone[limited].days) == ("customers.name", 30)
    assert free not in gone
    assert (light.first["run"] in {each["run"] for each in light.runs()}, gone[limited].erased) == (True, True)


def flat(light: Any, *words: str, code: int | None = 0) -> str:
    return " ".join(light.payoff(*words, code=code).split())


def test_whoever_asks_for_what_expired_is_told_so(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By every verb that would need it: none fails obscurely."""
    keep_for(light, "name", 30)
    later(monkeypatch, 2100)
    flow.expire(str(light.root), erase=True)
    monkeypatch.undo()
    why = "was erased on 2100-01-01 under the retention of customers.name (30 days)"
    assert why in flat(light, "show")
    assert why in flat(light, "show", "--predictions", "p.parquet", code=None)
    assert why in flat(light, "data", "sample", "customers", code=2)
    assert why in flat(light, "reproduce", light.first["run"], code=None)
    assert "examples" in light.payoff("data", "show", "examples"), "its columns are still known"


def test_something_overdue_is_a_warning_of_check_and_run(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from payoff.flows.check import check
    from payoff.flows.run import run
    from payoff.records.answers.request import RunRequest

    def warned() -> list[str]:
        found = [*check(str(light.root)), *run(RunRequest(project=str(light.root))).warnings]
        return [each.what for each in found if each.code == "PO-F040"]

    keep_for(light, "name", 30)
    assert warned() == []
    later(monkeypatch, 2100)
    first, second = warned()
    assert first == second
    assert "name permits 30" in first, "of the table, or of what was made of it"
    flow.expire(str(light.root), erase=True, models=True)
    assert [each for each in check(str(light.root)) if each.code == "PO-F040"] == []


def test_what_two_tables_have_stays_while_one_of_them_may(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kept` has the very content of `limited`, and no limit."""
    for name in ("limited", "unlimited"):
        (light.root / f"sql/{name}.sql").write_text("select customer_id, tenure from customers\n")
    text = 'apiVersion: v3.0.2\nkind: DataContract\nid: limited\nversion: 1.0.0\nstatus: active\nschema:\n  - name: limited\n    properties:\n      - { name: tenure, customProperties: [{ property: retention, value: 30 }] }\n'
    (light.root / "contracts/limited.yaml").write_text(text)
    light.run("--only", "limited", "--only", "unlimited")
    tables = json.loads(light.payoff("show", "--json"))["tables"]
    assert tables["limited"]["id"] == tables["unlimited"]["id"]
    later(monkeypatch, 2100)
    assert flow.expire(str(light.root), erase=True) == ()
    (light.root / "sql/unlimited.sql").write_text("select customer_id, tenure + 1 as tenure from customers\n")
    light.run("--only", "unlimited")
    assert flow.expire(str(light.root), erase=True) == (), "an earlier run's table has it still"


_EXPIRE = """
import sys
from payoff.flows.data import expire
expire.now = lambda: "2100-01-01T00:00:00.000Z"
erase = expire._erase
def and_say(*words):
    print("one", flush=True)
    return erase(*words)
expire._erase = and_say
print("ready", flush=True)
expire.expire(sys.argv[1], erase=True, models=True)
"""


def test_kills_leave_nothing_gone_that_nobody_knows_of(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_for(light, "name", 30)
    words = [sys.executable, "-c", _EXPIRE, str(light.root)]
    # A model's version is what it says; its file has the name of its bytes.
    model = opened(light).kit.ledger.read(opened(light).id, light.first["run"]).entries[-1].record.model
    names = {model.id: Path(model.file).stem}
    for pause in (0.0, 0.001, 0.003, 0.006, 0.01):
        before = kept(light)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdout.readline()
            time.sleep(pause)
            process.kill()
        told = {names.get(body["version"], str(body["version"])) for _, body in opened(light).kit.ledger.read(opened(light).id, event="expired", limit=1000).events}
        gone = {file.partition(".")[0] for file in before - kept(light) if file.endswith((".arrow", ".pickle"))}
        assert gone <= told
    later(monkeypatch, 2100)
    flow.expire(str(light.root), erase=True, models=True)
    assert not any(file.endswith((".arrow", ".pickle")) for file in kept(light))
    assert light.first["run"] in {each["run"] for each in light.runs()}, "the record stays"
    light.keeps_secrets()


def opened(light: Any) -> Any:
    from payoff.flows.opening import open_past

    return open_past(str(light.root))
