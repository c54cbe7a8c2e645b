"""What an HTTP source does when the server is odd: every row once, or an error that says what is wrong, and no secret to anybody else."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.adapters.sources.http.paging import ABSENT, at, next_link, with_query
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.testing.source import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET, DATUM = "tok-4711-secret", "Anna-4711"
_spec = importlib.util.spec_from_file_location("web_of_adapters", Path(__file__).parents[1] / "contracts" / "web.py")
assert _spec and _spec.loader
web_ = importlib.util.module_from_spec(_spec)
sys.modules["web_of_adapters"] = web_
_spec.loader.exec_module(web_)
Answered = web_.Answered
PATIENT = {"retries": 2, "max_wait": 0.01}


@pytest.fixture(scope="module")
def _served() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, web_.server() as served:
        patch.setenv("no_proxy", "*")
        yield served


@pytest.fixture
def web(_served: Any) -> Any:
    _served.asked.clear()
    return _served


def source(web: Any, **options: Any) -> Any:
    return connect("payoff.sources:http", "people", Path("/"), {"url": f"{web.url}/v1/people", **PATIENT, **options})


def rows(web: Any, **options: Any) -> list[dict[str, Any]]:
    with source(web, **options).read() as reader:
        return list(reader.read_all().to_pylist())


def refused(web: Any, code: str, kind: type[PayoffError] = PayoffError, **options: Any) -> PayoffError:
    with pytest.raises(kind) as caught:
        rows(web, **options)
    said = str(caught.value)
    assert caught.value.code == code, said
    assert SECRET not in said
    assert DATUM not in said
    assert caught.value.expected
    assert caught.value.remedy
    return caught.value


def js(value: Any, **more: Any) -> Any:
    return Answered(json.dumps(value).encode(), headers={"Content-Type": "application/json", **more.pop("headers", {})}, **more)


def playing(web: Any, *answers: Any) -> None:
    """One answer after the other; the last one again and again."""
    left = list(answers)
    web.play = lambda asked: left.pop(0) if len(left) > 1 else left[0]


ITEMS = [{"id": n} for n in range(25)]


# -- paging


def test_one_page_of_every_format(web: Any) -> None:
    table = pa.table({"id": [1, 2], "name": ["a", None]})
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    expected = table.to_pylist()
    for answer, more in (
        (js(expected), {}),
        (js({"data": {"items": expected}}), {"records": "data.items"}),
        (js({"a.b": {"c": expected}}), {"records": "a.b.c"}),
        (Answered(b'{"id": 1, "name": "a"}\n\n{"id": 2}', headers={"Content-Type": "application/x-ndjson"}), {}),
        (Answered(b"id,name\r\n1,a\r\n2,\r\n", headers={"Content-Type": "text/csv; charset=utf-8"}), {}),
        (Answered(b"\xef\xbb\xbfid;name\n1;a\n2;NA\n"), {"format": "csv", "delimiter": ";"}),
        (Answered(parquet.getvalue()), {"format": "parquet"}),
        (Answered(gzip.compress(json.dumps(expected).encode()), headers={"Content-Encoding": "gzip"}), {"format": "json"}),
        (Answered(json.dumps(expected * 1000).encode(), chunked=True), {"format": "json"}),
    ):
        playing(web, answer)
        assert rows(web, **more)[:2] == expected, more


def test_by_page_number_ends_with_an_empty_page(web: Any) -> None:
    """The server gives 10 where 100 are asked for: a short page is not the last."""

    def play(asked: Any) -> Any:
        start = (int(asked.query["page"]) - 1) * 10
        return js({"items": ITEMS[start : start + 10]})

    web.play = play
    assert rows(web, records="items", paging="page", page_size=100, params={"sort": "id", "all": True}) == ITEMS
    assert [asked.query for asked in web.gets][0] == {"sort": "id", "all": "true", "limit": "100", "page": "1"}
    assert len(web.gets) == 4
    assert len({asked.connection for asked in web.gets}) == 1, "one connection is kept"


def test_by_page_number_stops_where_the_server_says(web: Any) -> None:
    web.play = lambda asked: js({"items": ITEMS[int(asked.query["p"]) * 10 :][:10], "meta": {"total": 25, "more": asked.query["p"] < "2"}})
    assert rows(web, records="items", paging="page", page_param="p", first_page=0, total="meta.total") == ITEMS
    assert rows(web, records="items", paging="page", page_param="p", first_page=0, more="meta.more") == ITEMS
    assert len(web.gets) == 6


def test_by_offset_counts_the_rows_that_came(web: Any) -> None:
    web.play = lambda asked: js(ITEMS[int(asked.query["start"]) :][:7])
    assert rows(web, paging="offset", offset_param="start", page_size=10) == ITEMS
    assert [asked.query["start"] for asked in web.gets] == ["0", "7", "14", "21", "25"]


def test_by_cursor_in_the_body(web: Any) -> None:
    def play(asked: Any) -> Any:
        start = int(asked.query.get("after", "c0")[1:])
        return js({"items": ITEMS[start : start + 10], "next": f"c{start + 10}" if start + 10 < 25 else None})

    web.play = play
    assert rows(web, records="items", paging="cursor", cursor="next", cursor_param="after", params={"k": "v"}) == ITEMS
    assert [asked.query.get("k") for asked in web.gets] == ["v"] * 3


def test_by_url_in_the_body(web: Any) -> None:
    def play(asked: Any) -> Any:
        start = int(asked.query.get("$skip", 0))
        return js({"value": ITEMS[start : start + 10], **({"@odata.nextLink": f"{web.url}/v2?$skip={start + 10}"} if start < 20 else {})})

    web.play = play
    assert rows(web, records="value", paging="cursor", cursor="@odata.nextLink", params={"key": SECRET}) == ITEMS
    assert [(asked.path, asked.query.get("key")) for asked in web.gets] == [("/v1/people", SECRET), ("/v2", SECRET), ("/v2", SECRET)]


@pytest.mark.parametrize("kind", ["application/json", "text/csv", "application/x-ndjson"])
def test_by_link_header(web: Any, kind: str) -> None:
    def play(asked: Any) -> Any:
        start = int(asked.query.get("since", 0))
        part = ITEMS[start : start + 10]
        body = {
            "application/json": json.dumps(part),
            "text/csv": "id\n" + "".join(f"{each['id']}\n" for each in part),
            "application/x-ndjson": "".join(json.dumps(each) + "\n" for each in part),
        }[kind]
        link = f'<?since=0>; rel="first", <?since={start + 10}>; title="x, y"; rel=next' if start < 20 else '<?since=0>; rel="first"'
        return Answered(body.encode(), headers={"Content-Type": kind, "Link": link})

    web.play = play
    assert rows(web, paging="link") == ITEMS


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (js(ITEMS), {"paging": "page"}),
        (js(ITEMS), {"paging": "offset"}),
        (js({"items": ITEMS, "next": "same"}), {"paging": "cursor", "cursor": "next", "records": "items"}),
        (js(ITEMS, headers={"Link": '</v1/people>; rel="next"'}), {"paging": "link"}),
    ],
)
def test_an_answer_without_an_end(web: Any, answer: Any, options: dict[str, Any]) -> None:
    playing(web, answer)
    refused(web, "PO-S227", OutsideError, **options)
    assert len(web.gets) <= 3


def test_more_pages_than_meant(web: Any) -> None:
    web.play = lambda asked: js([{"id": int(asked.query["page"])}])
    assert "3 pages" in refused(web, "PO-S227", paging="page", max_pages=3).what
    assert len(web.gets) == 3


def test_a_first_page_that_says_nothing_of_a_next_one(web: Any) -> None:
    """A misspelt cursor would give a short table."""
    playing(web, js({"items": ITEMS, "next": "c2"}))
    refused(web, "PO-S232", UserError, records="items", paging="cursor", cursor="nxt")
    playing(web, js(ITEMS))
    refused(web, "PO-S232", UserError, paging="link")
    assert rows(web, paging="link", page_size=100) == ITEMS
    playing(web, js({"items": ITEMS, "n": 25}))
    assert rows(web, records="items", paging="cursor", cursor="next", total="n") == ITEMS
    playing(web, js(ITEMS, headers={"X-Total-Count": "25"}))
    assert rows(web, paging="link", total="X-Total-Count") == ITEMS


def test_a_table_that_changes_while_it_is_read(web: Any) -> None:
    playing(web, js({"i": ITEMS[:10], "n": 25}), js({"i": ITEMS[10:20], "n": 24}))
    assert refused(web, "PO-S228", OutsideError, records="i", paging="page", total="n").may_retry
    playing(web, js({"i": ITEMS[:10], "n": 25}), js({"i": ITEMS[11:20], "n": 25}), js({"i": [], "n": 25}))
    assert "19 rows came" in refused(web, "PO-S228", records="i", paging="page", total="n").what


def test_a_page_in_the_middle_that_is_something_else(web: Any) -> None:
    options = {"records": "items", "paging": "page"}
    playing(web, js({"items": ITEMS[:10]}), js({"error": DATUM}))
    assert "page 2 has nothing at items" in refused(web, "PO-S231", **options).what
    playing(web, js({"items": ITEMS[:10]}), js({"items": {"id": DATUM}}))
    refused(web, "PO-S231", **options)
    playing(web, js({"items": ITEMS[:10]}), js({"items": [[DATUM]]}))
    refused(web, "PO-S231", **options)
    playing(web, js({f"{DATUM}-{n}": [1] for n in range(20)}))
    refused(web, "PO-S231", **options)
    playing(web, js({"items": ITEMS[:10]}), Answered(b"id\n1\n", headers={"Content-Type": "text/csv"}))
    refused(web, "PO-S226", **options)
    playing(web, js({"items": ITEMS[:10]}), Answered(f"<html>{DATUM}".encode(), headers={"Content-Type": "text/html"}))
    refused(web, "PO-S226", **options)
    playing(web, js({"items": ITEMS[:10]}), js({"items": None}))
    assert len(rows(web, **options)) == 10, "null is an empty list"


def test_the_nearest_list_is_named(web: Any) -> None:
    playing(web, js({"results": [], "meta": {}}))
    said = refused(web, "PO-S231", UserError, records="result")
    assert "results" in said.expected
    assert 'records = "results"' in said.remedy


# -- types


def test_types_hold_for_all_pages(web: Any) -> None:
    pages = [
        [{"a": 1, "b": None, "c": True, "d": "x"}],
        [{"a": 2.5, "b": "late", "c": None, "e": {"k": [1]}}],
        [{"a": None, "b": None, "e": []}],
    ]
    web.play = lambda asked: js([*pages, []][int(asked.query["page"]) - 1])
    found = source(web, paging="page")
    assert found.schema() == pa.schema({"a": pa.float64(), "b": pa.string(), "c": pa.bool_(), "d": pa.string(), "e": pa.string()})
    with found.read() as reader:
        assert reader.read_all().to_pylist() == [
            {"a": 1.0, "b": None, "c": True, "d": "x", "e": None},
            {"a": 2.5, "b": "late", "c": None, "d": None, "e": '{"k":[1]}'},
            {"a": None, "b": None, "c": None, "d": None, "e": "[]"},
        ]
    assert len(web.gets) == 4, "what schema read, read does not ask for again"


@pytest.mark.parametrize(
    "pages",
    [
        [[{"id": 1}], [{"id": DATUM}]],
        [[{"id": 1}, {"id": DATUM}]],
        [[{"id": True}], [{"id": 1}]],
        [[{"id": DATUM}], [{"id": {"a": 1}}]],
        [[{"id": 2**63}]],
        [[{"id": 2**60}, {"id": 0.5}]],
        [[{"id": 2**60 + 1}], [{"id": 0.5}]],
    ],
)
def test_values_of_several_types_are_refused_or_declared(web: Any, pages: list[Any]) -> None:
    playing(web, *map(js, pages), js([]))
    assert "id" in refused(web, "PO-S230", UserError, paging="page").what
    playing(web, *map(js, pages), js([]))
    found = rows(web, paging="page", types={"id": "string"})
    texts = [v if isinstance(v := row["id"], str) else json.dumps(v, separators=(",", ":")) for page in pages for row in page]
    assert [row["id"] for row in found] == texts


def test_declared_types(web: Any) -> None:
    body = b'[{"d": 0.1, "t": "2026-01-02T03:04:05Z", "n": "12", "f": 3, "day": "2026-02-28"}]'
    playing(web, Answered(body, headers={"Content-Type": "application/json"}))
    types = {"d": "decimal(30, 20)", "t": "timestamp[us, tz=UTC]", "n": "int64", "f": "float64", "day": "date32", "gone": "int64"}
    (row,) = rows(web, types=types)
    assert str(row["d"]) == "0.10000000000000000000"
    assert (row["n"], row["f"], str(row["day"]), row["gone"]) == (12, 3.0, "2026-02-28", None)
    assert row["t"].isoformat() == "2026-01-02T03:04:05+00:00"
    playing(web, js([{"id": 1}, {"id": DATUM}]))
    assert "rows 1 to 2" in refused(web, "PO-S230", types={"id": "int64"}).what
    refused(web, "PO-S006", types={"id": "integer"})


def test_csv_types_are_those_of_all_rows(web: Any) -> None:
    lines = "".join(f"{n},1,2026-01-01,true,01234,2026-01-01T10:00:00Z,\n" for n in range(120_000))
    body = f"id,x,day,yes,zip,at,none\n{lines}120000,0.5,,,99,,\n".encode()
    playing(web, Answered(body, headers={"Content-Type": "text/csv"}))
    schema = source(web).schema()
    kinds = [pa.int64(), pa.float64(), pa.date32(), pa.bool_(), pa.string(), pa.timestamp("us", "UTC"), pa.string()]
    assert schema.types == kinds
    refused(web, "PO-S002", types={"ide": "int64"})


def test_broken_files(web: Any) -> None:
    for body, kind in (
        (b"id,name\n1,a,b\n", "csv"),
        (b"id\n\xff\xfe\n", "csv"),
        (b"PAR1" + b"x" * 500, "parquet"),
        (b'{"id": 1}\n{"id": 2', "jsonl"),
        (b'[{"id": NaN}]', "json"),
        (b"[" * 100_000, "json"),
        (b"", "json"),
    ):
        playing(web, Answered(body))
        refused(web, "PO-S226", format=kind)
    playing(web, Answered(b"id,id\n1,2\n"))
    refused(web, "PO-S231", format="csv")
    playing(web, Answered(b"x"))
    refused(web, "PO-S220")


def test_an_empty_answer(web: Any) -> None:
    playing(web, Answered(b"id,name\n", headers={"Content-Type": "text/csv"}))
    assert source(web).schema().names == ["id", "name"]
    playing(web, Answered(status=204))
    assert rows(web, format="jsonl", types={"id": "int64"}) == []


# -- what goes wrong on the way


def test_a_cut_answer_is_asked_for_again(web: Any) -> None:
    whole = json.dumps(ITEMS).encode()
    good = Answered(whole, headers={"Content-Type": "application/json"})
    for cut in (
        Answered(whole[:-9], length=len(whole), headers=good.headers),
        Answered(whole * 50, chunked=True, cut=True, headers=good.headers),
        Answered(gzip.compress(whole)[:-9], headers={**good.headers, "Content-Encoding": "gzip"}),
    ):
        playing(web, cut, cut, good)
        assert rows(web) == ITEMS
        playing(web, cut)
        said = refused(web, "PO-S224", OutsideError)
        assert isinstance(said, OutsideError)
        assert said.may_retry


def test_a_cut_table_of_lines_is_never_a_short_table(web: Any) -> None:
    """Cut at the end of a line, the rest would read well."""
    body = b"id\n" + b"".join(b"%d\n" % n for n in range(1000))
    playing(web, Answered(body[:2003], length=len(body)))
    refused(web, "PO-S224", OutsideError, format="csv")
    playing(web, Answered(body[:2003], length=-1))
    refused(web, "PO-S224", OutsideError, format="csv")
    playing(web, Answered(body))
    assert len(rows(web, format="csv")) == 1000


def test_a_busy_server_is_given_time(web: Any) -> None:
    playing(web, Answered(status=429, headers={"Retry-After": "1"}), Answered(status=503), js(ITEMS))
    started = time.monotonic()
    assert rows(web, max_wait=2) == ITEMS
    assert 1 <= time.monotonic() - started < 60
    assert len(web.gets) == 3
    soon = {"Retry-After": "Wed, 25 Nov 2026 10:00:00 GMT", "Date": "Wed, 25 Nov 2026 10:00:00 GMT"}
    playing(web, Answered(status=429, headers=soon), js(ITEMS))
    assert rows(web) == ITEMS


def test_a_busy_server_is_not_waited_for_forever(web: Any) -> None:
    playing(web, Answered(status=429, headers={"Retry-After": "86400"}))
    assert "86,400 seconds" in refused(web, "PO-S223", OutsideError).what
    assert len(web.gets) == 1
    playing(web, Answered(status=503))
    refused(web, "PO-S223", OutsideError)
    assert len(web.gets) == 1 + 3


def test_no_more_requests_a_second_than_allowed(web: Any) -> None:
    web.play = lambda asked: js(ITEMS[int(asked.query["offset"]) :][:5])
    started = time.monotonic()
    assert rows(web, paging="offset", per_second=20) == ITEMS
    assert time.monotonic() - started >= 5 / 20


def test_slow_servers(web: Any) -> None:
    slow = Answered(b"x" * 5000, chunked=True, pace=lambda: time.sleep(0.1))
    playing(web, slow)
    refused(web, "PO-S224", OutsideError, format="jsonl", page_timeout=0.15, retries=0)
    playing(web, Answered(b"x" * 3000, chunked=True, pace=lambda: time.sleep(0.4)))
    refused(web, "PO-S224", OutsideError, format="jsonl", timeout=0.1, retries=0)
    web.play = lambda asked: time.sleep(0.4) or Answered(b"[]")
    refused(web, "PO-S223", OutsideError, timeout=0.1, retries=0)


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with web_.server() as gone:
        url = gone.url
    found = connect("payoff.sources:http", "people", tmp_path, {"url": f"{url}/?key={SECRET}", **PATIENT})
    for ask in (found.schema, found.read, found.version):
        with pytest.raises(OutsideError) as caught:
            ask()
        assert caught.value.code == "PO-S223"
        assert caught.value.may_retry
        assert SECRET not in str(caught.value)


def test_too_large_a_page(web: Any) -> None:
    big = json.dumps([{"id": "x" * 1000}] * 1100).encode()
    playing(web, Answered(big, headers={"Content-Type": "application/json"}))
    assert len(rows(web)) == 1100
    refused(web, "PO-S225", max_mb=1)
    playing(web, Answered(gzip.compress(big * 20), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}))
    refused(web, "PO-S225", max_mb=1)


@pytest.mark.parametrize(("status", "code"), [(401, "PO-S221"), (403, "PO-S221"), (404, "PO-S222"), (410, "PO-S222"), (400, "PO-S222"), (206, "PO-S222")])
def test_what_the_server_refuses(web: Any, status: int, code: str) -> None:
    playing(web, js({"message": f"{DATUM} {SECRET}"}, status=status))
    refused(web, code, UserError, bearer=SECRET, params={"api_key": SECRET}, headers={"X-Key": SECRET})
    assert len(web.gets) == 1


# -- secrets


def test_the_secret_goes_where_it_belongs(web: Any) -> None:
    playing(web, js(ITEMS))
    rows(web, bearer=SECRET, headers={"X-Key": "k"})
    assert web.gets[-1].headers["Authorization"] == f"Bearer {SECRET}"
    assert web.gets[-1].headers["X-Key"] == "k"
    rows(web, basic="user:pässword")
    assert web.gets[-1].headers["Authorization"] == "Basic dXNlcjpww6Rzc3dvcmQ="


def test_a_redirect_elsewhere_goes_without_the_secret(web: Any) -> None:
    with web_.server() as other:
        other.play = lambda asked: js(ITEMS)
        web.play = lambda asked: Answered(status=302, headers={"Location": f"{other.url}/bucket/x.json"})
        assert rows(web, bearer=SECRET, headers={"X-Key": SECRET}, params={"key": SECRET}) == ITEMS
        (asked,) = other.gets
        assert SECRET not in str(asked)
    web.play = lambda asked: js(ITEMS) if asked.path == "/new" else Answered(status=307, headers={"Location": "/new"})
    assert rows(web, bearer=SECRET) == ITEMS
    assert web.gets[-1].headers["Authorization"] == f"Bearer {SECRET}"


def test_redirects_that_lead_nowhere(web: Any) -> None:
    for where in ("/v1/people", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://[bad"):
        web.play = lambda asked, where=where: Answered(status=302, headers={"Location": where})
        refused(web, "PO-S229", OutsideError)


@pytest.mark.parametrize("link", ["http://127.0.0.2:1/x", "https://example.org/x", "//example.org/x", "file:///etc/passwd", "http://[bad"])
def test_a_next_page_on_another_host_is_refused(web: Any, link: str) -> None:
    playing(web, js(ITEMS, headers={"Link": f'<{link}>; rel="next"'}))
    refused(web, "PO-S229", OutsideError, paging="link", bearer=SECRET)
    assert len(web.gets) == 1


def test_nothing_secret_is_described_or_logged(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    playing(web, js(ITEMS))
    url = f"http://user:{SECRET}@{web.url.removeprefix('http://')}/v1/people?key={SECRET}#{SECRET}"
    found = source(web, url=url, bearer=SECRET)
    found.read().read_all()
    assert found.describe() == {"kind": "http", "address": f"{web.url}/v1/people"}
    assert SECRET not in caplog.text
    assert SECRET not in repr(found)


# -- version


def test_versions(web: Any) -> None:
    def version(**headers: str) -> str | None:
        playing(web, js(ITEMS, headers=headers))
        return source(web).version()

    old, new = "Wed, 25 Nov 2026 10:00:00 GMT", "Wed, 25 Nov 2026 10:00:09 GMT"
    assert version(ETag='"a"') == version(ETag='"a"') != version(ETag='"b"')
    assert version(**{"Last-Modified": old}) == version(**{"Last-Modified": old}) != version(**{"Last-Modified": new})
    assert version() is None
    web.play = lambda asked: js(ITEMS, status=405 if asked.method == "HEAD" else 200)
    assert source(web).version() is None
    playing(web, js(ITEMS, headers={"ETag": '"a"'}))
    assert source(web, paging="page").version() is None, "the first page says nothing of the others"
    assert not any(asked.method == "GET" for asked in web.asked)


def test_a_change_within_the_second_is_no_version(web: Any) -> None:
    from email.utils import formatdate

    web.play = lambda asked: js(ITEMS, headers={"Last-Modified": formatdate(usegmt=True)})
    assert source(web).version() is None


# -- options and parsers


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://host/x"},
        {"url": "people.json"},
        {"url": "http://[bad"},
        {"url": "http://host:99999/"},
        {"paging": "pages"},
        {"format": "xml"},
        {"paging": "cursor"},
        {"bearer": SECRET, "basic": SECRET},
        {"max_pages": 0},
        {"retries": -1},
    ],
)
def test_options_that_cannot_be_meant(web: Any, options: dict[str, Any]) -> None:
    refused(web, "PO-S220", UserError, **options)
    assert source(web, **options).describe()["kind"] == "http"
    assert web.asked == []


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))), st.integers(0, 10**9))
def test_a_query_keeps_what_it_is_not_told_to_change(params: dict[str, str], page: int) -> None:
    from urllib.parse import parse_qsl, urlsplit

    url = with_query(with_query("https://a/b?page=1&kept=%20", params), {"page": page})
    expected = {"kept": " ", **params, "page": str(page)}
    assert dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == expected


@given(st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(st.text("ab.", max_size=4), inner, max_size=3), max_leaves=8))
def test_every_key_of_a_document_is_reached_by_its_path(document: Any) -> None:
    def paths(value: Any) -> Iterator[tuple[str, Any]]:
        for key, inner in value.items() if isinstance(value, dict) else ():
            yield key, inner
            yield from ((f"{key}.{rest}", last) for rest, last in paths(inner))

    for path, _ in paths(document):
        if path:
            assert at(document, path) is not ABSENT
    assert at(document, "c") is ABSENT


@given(st.text(max_size=200))
def test_any_link_header_is_read_in_no_time(header: str) -> None:
    assert isinstance(next_link(header), str)
    assert next_link('<a>; rel="' * 300) == ""


def test_memory_is_bounded_by_a_page(web: Any) -> None:
    """100 pages of 3 MB: what Arrow holds stays below a tenth of the whole."""
    body = json.dumps([{"id": n, "text": "x" * 990} for n in range(3000)]).encode()

    def play(asked: Any) -> Any:
        page = int(asked.query["page"])
        return Answered(body, headers={"Content-Type": "application/json", **({"Link": f'<?page={page + 1}>; rel="next"'} if page < 100 else {})})

    web.play = play
    highest = count = 0
    with source(web, paging="link", params={"page": 1}).read() as reader:
        for batch in reader:
            count += batch.num_rows
            highest = max(highest, pa.total_allocated_bytes())
    assert count == 3000 * 100
    assert highest < 30 << 20
