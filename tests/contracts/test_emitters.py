"""OpenLineage events: the contract suite, what a real HTTP server gets, and the library's own classes' word on every event."""

from __future__ import annotations

import http.server
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from payoff.adapters.emitters.openlineage import Options, connect
from payoff.base.errors import UserError
from payoff.testing.emitter import EmitterSuite, sample_emission

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "geheim-token"


class TestOpenLineage(EmitterSuite):
    adapter = "payoff.emitters:openlineage"
    options = {"url": "http://127.0.0.1:9", "token": TOKEN}


class Service(http.server.ThreadingHTTPServer):
    """Takes events; `status` is what it answers, after `seconds`."""

    daemon_threads = True
    block_on_close = False
    status, seconds = 201, 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.got: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Taker(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        time.sleep(self.server.seconds)
        right = self.headers["Authorization"] == f"Bearer {TOKEN}"
        status = self.server.status if right else 401
        if 200 <= status < 300:
            self.server.got.append(body)
        try:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def written(root: Path, error: str = "") -> list[dict[str, Any]]:
    assert connect(root, Options(path="out/events.ndjson")).emit(sample_emission(error=error)) is None
    return [json.loads(line) for line in (root / "out" / "events.ndjson").read_text().splitlines()]


def test_the_file_has_the_run_and_its_steps(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert [(each["eventType"], each["job"]["name"]) for each in found] == [
        ("START", "churn"), ("START", "churn.examples"), ("COMPLETE", "churn.examples"), ("COMPLETE", "churn"),
    ]  # fmt: skip
    done = found[2]
    assert done["run"]["facets"]["parent"]["run"]["runId"] == found[0]["run"]["runId"]
    made = done["outputs"][0]
    assert (made["namespace"], made["name"]) == ("payoff", "churn.examples")
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == 2
    ways = made["facets"]["columnLineage"]["fields"]["age"]["inputFields"]
    assert [(each["namespace"], each["name"], each["field"], each["transformations"]) for each in ways] == [
        ("postgresql://host:5432/shop", "customers", "age", [{"type": "DIRECT"}]),
        ("postgresql://host:5432/shop", "customers", "region", [{"type": "INDIRECT", "subtype": "FILTER"}]),
    ]
    checks = done["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert checks == [{"assertion": "unique", "success": True, "severity": "error", "column": "age"}]


def test_a_failure_is_told_with_its_words(tmp_path: Path) -> None:
    found = written(tmp_path, error="the step failed")
    assert [each["eventType"] for each in found] == ["START", "START", "FAIL", "FAIL"]
    assert found[3]["run"]["facets"]["errorMessage"]["message"] == "the step failed"
    assert found[2]["outputs"] == []


@pytest.mark.parametrize("error", ["", "the step failed"])
def test_the_library_takes_every_event(tmp_path: Path, error: str) -> None:
    run = pytest.importorskip("openlineage.client.event_v2", reason="openlineage-python is not installed")
    from openlineage.client.generated import (  # noqa: PLC0415
        column_lineage_dataset, data_quality_assertions_dataset, dataset_version_dataset, datasource_dataset,
        documentation_dataset, documentation_job, error_message_run, output_statistics_output_dataset, parent_run,
        processing_engine_run, schema_dataset, source_code_location_job, sql_job,
    )  # fmt: skip

    modules = (
        column_lineage_dataset, data_quality_assertions_dataset, dataset_version_dataset, datasource_dataset,
        documentation_dataset, documentation_job, error_message_run, output_statistics_output_dataset, parent_run,
        processing_engine_run, schema_dataset, source_code_location_job, sql_job,
    )  # fmt: skip

    def known(facet: dict[str, Any]) -> None:
        name = facet["_schemaURL"].rpartition("/")[2]
        kind = next(getattr(module, name) for module in modules if hasattr(module, name))
        fields = {key: value for key, value in facet.items() if not key.startswith("_")}
        assert facet["_schemaURL"] == kind._get_schema(), name
        kind(**fields)
        if name == "ColumnLineageDatasetFacet":
            for each in fields["fields"].values():
                for parent in each["inputFields"]:
                    for way in parent["transformations"]:
                        column_lineage_dataset.Transformation(**way)

    for event in written(tmp_path, error=error):
        run.RunEvent(
            eventType=run.RunState(event["eventType"]), eventTime=event["eventTime"], producer=event["producer"],
            run=run.Run(runId=event["run"]["runId"]), job=run.Job(event["job"]["namespace"], event["job"]["name"]),
        )  # fmt: skip
        holders = [event["run"]["facets"], event["job"]["facets"]]
        for each in (*event["inputs"], *event["outputs"]):
            holders += [each.get(key, {}) for key in ("facets", "inputFacets", "outputFacets")]
        for facets in holders:
            for name, facet in facets.items():
                if name != "payoff_labels":
                    known(facet)


def test_a_service_gets_what_an_earlier_run_left(tmp_path: Path, service: Service) -> None:
    emitter = connect(tmp_path, Options(url=service.url, token=TOKEN))
    service.status = 500
    found = emitter.emit(sample_emission("r1"))
    assert found is not None
    assert "500" in found.what
    service.status = 201
    assert emitter.emit(sample_emission("r2")) is None
    assert [each["eventType"] for each in service.got] == ["START", "START", "COMPLETE", "COMPLETE"] * 2
    assert len({each["run"]["runId"] for each in service.got}) == 4
    assert service.asked[0][0] == "/api/v1/lineage"
    assert emitter.catch_up() is None
    assert len(service.got) == 8


def test_a_wrong_token_is_told_and_not_shown(tmp_path: Path, service: Service) -> None:
    found = connect(tmp_path, Options(url=service.url, token="falsch-geheim")).emit(sample_emission())
    assert found is not None
    assert "401" in found.what
    assert "geheim" not in repr(found)
    assert not any("geheim" in file.read_text() for file in tmp_path.rglob("*") if file.is_file())


def test_a_token_that_no_header_can_hold_is_a_warning_that_does_not_show_it(tmp_path: Path, service: Service) -> None:
    found = connect(tmp_path, Options(url=service.url, token="geheim\nx")).emit(sample_emission())
    assert found is not None
    assert "geheim" not in repr(found)


def test_a_slow_service_keeps_nobody(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payoff.adapters.emitters.openlineage.emitter.SECONDS", 0.5)
    emitter, runs = connect(tmp_path, Options(url=service.url, token=TOKEN)), 25
    service.status = 500
    assert all(emitter.emit(sample_emission(f"r{number}")) for number in range(runs))
    service.status, service.seconds = 201, 0.4  # each answer is in time, all of them together are not
    began = time.monotonic()
    found = emitter.catch_up()
    assert time.monotonic() - began < runs * 0.4 / 2
    assert found is not None


def test_what_a_service_will_never_take_does_not_block_the_rest(tmp_path: Path, service: Service) -> None:
    emitter = connect(tmp_path, Options(url=service.url, token=TOKEN))
    service.status = 422
    assert emitter.emit(sample_emission("r1")) is not None
    service.status = 200
    assert emitter.emit(sample_emission("r2")) is None
    assert [file.name for file in (tmp_path / ".payoff" / "openlineage").iterdir()] == ["r1.rejected"]


@pytest.mark.parametrize("options", [{}, {"path": "a", "url": "http://b"}, {"url": "ftp://b"}, {"url": "http://"}])
def test_it_has_to_be_said_where_events_go(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(UserError) as found:
        connect(tmp_path, Options(**options))
    assert found.value.code == "PO-O003"
