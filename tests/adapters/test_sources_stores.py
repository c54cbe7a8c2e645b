"""An object store that fails, refuses, cuts or changes an object gives an error, never a short or a mixed table."""

from __future__ import annotations

import importlib.util
import sys
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.testing.source import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("s3fs", reason="the extra payoff[s3] is not installed")


def _loaded(file: str) -> Any:
    name = f"{file}_of_stores"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "contracts" / f"{file}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


web_, stores = _loaded("web"), _loaded("stores")
BODY = b"id,name\n" + b"".join(b"%d,abcdefgh\n" % n for n in range(600_000))


@pytest.fixture(scope="module")
def _served() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, web_.server() as served:
        patch.setenv("no_proxy", "*")
        yield served


class Bucket:
    """One object, over S3's own requests, until something is planted."""

    def __init__(self, body: bytes) -> None:
        self.body, self.etag = body, '"one"'
        self.status = 200
        self.short = 0  # bytes that are left out of a range; tell: Content-Length says what it should have been
        self.tell = True
        self.reads = 0
        self.heeds = True
        self.after = 10**9  # the reading from which on it has changed

    def __call__(self, asked: Any) -> Any:
        headers = {"ETag": self.etag, "Last-Modified": formatdate(0, usegmt=True), "Accept-Ranges": "bytes"}
        if self.status != 200:
            code = {403: "AccessDenied", 404: "NoSuchKey", 503: "SlowDown"}[self.status]
            body = f"<Error><Code>{code}</Code><Message>{stores.SECRET}</Message></Error>".encode()
            return web_.Answered(body, status=self.status, headers={"Content-Type": "application/xml"})
        if asked.method == "HEAD":
            return web_.Answered(self.body, headers=headers)
        self.reads += 1
        if self.reads > self.after:
            self.etag = headers["ETag"] = '"two"'
        if self.heeds and asked.headers.get("If-Match", self.etag) != self.etag:
            return web_.Answered(b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you specified did not hold</Message></Error>", status=412)
        first, _, last = asked.headers["Range"].removeprefix("bytes=").partition("-")
        part = self.body[int(first) : int(last) + 1]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(self.body)}"
        kept = part[: len(part) - self.short]
        return web_.Answered(kept, status=206, headers=headers, length=len(part) if self.tell and self.short else len(kept))


def source(web: Any, bucket: Bucket, **more: Any) -> Any:
    web.play = bucket
    return connect("payoff.sources:files", "people", Path("/"), {"path": "s3://shop/people.csv", "storage_options": stores.s3_options(web.url), **more})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)


def refused(found: Any) -> PayoffError:
    with pytest.raises(PayoffError) as caught, found.read() as reader:
        reader.read_all()
    assert stores.SECRET not in str(caught.value)
    assert caught.value.remedy
    return caught.value


def test_a_whole_object_is_read(_served: Any) -> None:
    found = source(_served, Bucket(BODY))
    assert found.read(["id"]).read_all().num_rows == 600_000
    assert stores.SECRET not in str(found.describe())


@pytest.mark.parametrize("tell", [True, False])
def test_an_object_that_is_cut(_served: Any, tell: bool) -> None:
    """Whether the connection breaks off, or the store gives less than the object's size and says nothing."""
    bucket = Bucket(BODY)
    bucket.short, bucket.tell = 100_003, tell
    said = refused(source(_served, bucket))
    assert isinstance(said, OutsideError)
    assert said.code == "PO-S004"
    assert said.may_retry


@pytest.mark.parametrize("heeds", [True, False])
def test_an_object_that_changes_while_it_is_read(_served: Any, heeds: bool) -> None:
    """Whether the store heeds If-Match or not."""
    bucket = Bucket(BODY)
    bucket.after, bucket.heeds = 1, heeds
    said = refused(source(_served, bucket))
    assert said.code == "PO-S008"
    assert isinstance(said, OutsideError)
    assert said.may_retry


def test_a_new_object_has_another_version(_served: Any) -> None:
    bucket = Bucket(BODY)
    found = source(_served, bucket)
    before = found.version()
    assert before == found.version()
    bucket.etag = '"two"'
    assert found.version() not in {before, None}


@pytest.mark.parametrize(("status", "code", "kind"), [(403, "PO-S007", OutsideError), (404, "PO-S001", UserError), (503, "PO-S004", OutsideError)])
def test_a_store_that_refuses(_served: Any, status: int, code: str, kind: type[PayoffError]) -> None:
    bucket = Bucket(BODY)
    bucket.status = status
    said = refused(source(_served, bucket))
    assert (said.code, type(said)) == (code, kind)
    if isinstance(said, OutsideError):
        assert said.may_retry == (status == 503)


def test_a_store_that_is_not_there(_served: Any) -> None:
    with web_.server() as gone:
        url = gone.url
    found = source(_served, Bucket(BODY), storage_options=stores.s3_options(url))
    for ask in (found.schema, found.version, found.read):
        with pytest.raises(OutsideError) as caught:
            ask()
        assert caught.value.code == "PO-S004"
        assert caught.value.may_retry


def test_options_that_the_store_does_not_know(_served: Any) -> None:
    said = refused(source(_served, Bucket(BODY), storage_options={**stores.s3_options(_served.url), "sekret": "x"}))
    assert said.code == "PO-S004"
    assert "storage_options" in said.what


def test_a_package_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(UserError) as caught:
        connect("payoff.sources:files", "people", tmp_path, {"path": "abfs://shop/x.parquet"}).schema()
    assert caught.value.code == "PO-S003"
    assert "payoff[azure]" in caught.value.remedy


def test_addresses_are_shown_without_what_is_secret(tmp_path: Path) -> None:
    for path in (f"https://user:{stores.SECRET}@host/x.csv", f"https://host/x.csv?sig={stores.SECRET}", f"ftp://u:{stores.SECRET}@host/x.csv"):
        assert stores.SECRET not in str(connect("payoff.sources:files", "people", tmp_path, {"path": path}).describe())


def test_memory_is_bounded(_served: Any) -> None:
    lines = b"%d,abcdefgh\n" * 100_000
    found = source(_served, Bucket(b"id,name\n" + (lines % tuple(range(100_000))) * 80))
    highest = count = 0
    with found.read() as reader:
        for batch in reader:
            count += batch.num_rows
            highest = max(highest, pa.total_allocated_bytes())
    assert count == 8_000_000
    assert highest < 70 << 20, "an object of 112 MB"
