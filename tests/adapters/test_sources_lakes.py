"""Delta Lake and Iceberg tables come out exactly as their log says, at the time asked for, or not at all."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import os
import struct
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.testing.source import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

deltalake = pytest.importorskip("deltalake", reason="the extra payoff[delta] is not installed")
pytest.importorskip("pyiceberg", reason="the extra payoff[iceberg] is not installed")


def _loaded(file: str) -> Any:
    name = f"{file}_of_lakes"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "contracts" / f"{file}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


web_, stores = _loaded("web"), _loaded("stores")


def delta(root: Path, **options: Any) -> Any:
    return connect("payoff.sources:delta", "people", root, {"path": "people", **options})


def ids(source: Any, column: str = "id") -> list[Any]:
    with source.read([column]) as reader:
        return sorted(reader.read_all().column(0).to_pylist())


def refused(source: Any, code: str, kind: type[PayoffError]) -> PayoffError:
    with pytest.raises(kind) as caught, source.read() as reader:
        reader.read_all()
    assert caught.value.code == code
    assert stores.SECRET not in str(caught.value)
    assert caught.value.remedy
    return caught.value


def write(root: Path, numbers: range, **more: Any) -> None:
    deltalake.write_deltalake(str(root / "people"), pa.table({"id": pa.array(numbers, pa.int64())}), **more)


# -- Delta


def test_delta_of_every_type_with_partitions(tmp_path: Path) -> None:
    utc = dt.timezone.utc
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),
            "day": pa.array([dt.date(2026, 1, 1), None]),
            "at": pa.array([dt.datetime(2026, 1, 1, tzinfo=utc), None], pa.timestamp("us", "UTC")),
            "price": pa.array([Decimal("1.25"), None], pa.decimal128(12, 2)),
            "list": pa.array([["a", None], None], pa.list_(pa.string())),
            "raw": pa.array([b"\x00\xff", None], pa.binary()),
            'Größe "x"': pa.array(["a b/ü=%20", None]),
            "object": pa.array([{"a": 1, "b": "x"}, None], pa.struct({"a": pa.int64(), "b": pa.string()})),
        }
    )
    deltalake.write_deltalake(str(tmp_path / "people"), table, partition_by=['Größe "x"', "day"])
    found = delta(tmp_path)
    assert found.schema().types == table.schema.types
    with found.read(table.column_names) as reader:
        rows = reader.read_all().to_pylist()
    assert sorted(rows, key=lambda row: row["id"]) == table.to_pylist()


def test_delta_whose_columns_changed(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    more = pa.table({"id": pa.array([3], pa.int64()), "new": ["x"]})
    deltalake.write_deltalake(str(tmp_path / "people"), more, mode="append", schema_mode="merge")
    with delta(tmp_path).read() as reader:
        rows = reader.read_all().to_pylist()
    assert sorted(rows, key=lambda row: row["id"]) == [*({"id": n, "new": None} for n in range(3)), {"id": 3, "new": "x"}]


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    numbers = (int.from_bytes(data[start : start + 4], "big") for start in range(0, len(data), 4))
    return "".join(Z85[number // 85**power % 85] for number in numbers for power in (4, 3, 2, 1, 0))


def log(root: Path, version: int) -> Path:
    return root / "people" / "_delta_log" / f"{version:020}.json"


def actions(root: Path, version: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log(root, version).read_text().splitlines()]


def test_delta_with_a_deletion_vector(tmp_path: Path) -> None:
    """Written by hand, as the protocol describes it: rows 2 and 5 of a file are deleted."""
    pyroaring = pytest.importorskip("pyroaring")
    write(tmp_path, range(10))
    (add,) = [each["add"] for each in actions(tmp_path) if "add" in each]
    data = struct.pack("<IQI", 1681511377, 1, 0) + pyroaring.BitMap([2, 5]).serialize()
    vector = {"storageType": "i", "pathOrInlineDv": z85(data + b"\0" * (-len(data) % 4)), "sizeInBytes": len(data), "cardinality": 2}
    features = ["deletionVectors"]
    commit = [
        {"commitInfo": {"timestamp": 1, "operation": "DELETE"}},
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}},
        {"remove": {"path": add["path"], "dataChange": True, "deletionTimestamp": 2}},
        {"add": {**add, "deletionVector": vector, "dataChange": True}},
    ]
    log(tmp_path, 1).write_text("\n".join(map(json.dumps, commit)) + "\n")
    assert ids(delta(tmp_path)) == [0, 1, 3, 4, 6, 7, 8, 9]
    assert ids(delta(tmp_path, version=0)) == list(range(10))


def test_delta_with_renamed_columns(tmp_path: Path) -> None:
    write(tmp_path, range(4))
    changed = actions(tmp_path)
    for each in changed:
        if "metaData" in each:
            schema = json.loads(each["metaData"]["schemaString"])
            schema["fields"][0]["metadata"] = {"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "id"}
            schema["fields"][0]["name"] = "number"
            settings = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "1"}
            each["metaData"].update(schemaString=json.dumps(schema), configuration=settings)
        if "protocol" in each:
            each["protocol"] = {"minReaderVersion": 2, "minWriterVersion": 5}
        if "add" in each:
            each["add"]["stats"] = None
    log(tmp_path, 0).write_text("\n".join(map(json.dumps, changed)) + "\n")
    assert ids(delta(tmp_path), "number") == [0, 1, 2, 3]


def test_delta_of_a_newer_protocol_is_refused(tmp_path: Path) -> None:
    write(tmp_path, range(4))
    features = ["rowsWrittenBackwards"]
    newer = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    log(tmp_path, 0).write_text("\n".join(json.dumps({"protocol": newer} if "protocol" in each else each) for each in actions(tmp_path)) + "\n")
    refused(delta(tmp_path), "PO-S203", UserError)


def test_delta_at_a_time(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    between = dt.datetime.now(dt.timezone.utc)
    time.sleep(0.01)
    write(tmp_path, range(3, 5), mode="append")
    assert ids(delta(tmp_path)) == [0, 1, 2, 3, 4]
    assert ids(delta(tmp_path, version=0)) == ids(delta(tmp_path, timestamp=between.isoformat())) == [0, 1, 2]
    versions = {delta(tmp_path).version(), delta(tmp_path, version=0).version()}
    assert len(versions) == 2
    assert delta(tmp_path, timestamp=between.isoformat()).version() in versions
    for wrong in ({"version": 7}, {"version": -1}, {"timestamp": "2020-01-01T00:00:00Z"}, {"timestamp": "2026-01-01T00:00:00"}, {"timestamp": "x"}, {"version": 0, "timestamp": between.isoformat()}):
        refused(delta(tmp_path, **wrong), "PO-S201", UserError)


def test_a_reading_of_delta_is_of_one_version(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    reader = delta(tmp_path).read()
    write(tmp_path, range(100, 110), mode="overwrite")
    assert sorted(reader.read_all().column(0).to_pylist()) == [0, 1, 2]
    reader.close()


def test_delta_rows_come_in_one_order(tmp_path: Path) -> None:
    for n in range(6):
        write(tmp_path, range(n * 20_000, n * 20_000 + 20_000), mode="append")
    first, second = (delta(tmp_path).read().read_all() for _ in range(2))
    assert first.equals(second)


def test_delta_that_is_not_whole(tmp_path: Path) -> None:
    write(tmp_path, range(1000))
    (file,) = (tmp_path / "people").glob("*.parquet")
    whole = file.read_bytes()
    pq.write_table(pa.table({"id": pa.array(range(900), pa.int64())}), file)
    refused(delta(tmp_path), "PO-S202", OutsideError)
    file.write_bytes(whole[:-40])
    refused(delta(tmp_path), "PO-S202", OutsideError)
    file.unlink()
    assert "gone" in refused(delta(tmp_path), "PO-S202", OutsideError).what
    file.write_bytes(whole)
    assert len(ids(delta(tmp_path))) == 1000
    log(tmp_path, 0).write_text("{" + stores.SECRET)
    refused(delta(tmp_path), "PO-S202", OutsideError)


def test_what_is_no_delta_table(tmp_path: Path) -> None:
    refused(delta(tmp_path), "PO-S200", UserError)
    (tmp_path / "people").mkdir()
    refused(delta(tmp_path), "PO-S200", UserError)


def test_the_interpreter_ends_well_after_delta(tmp_path: Path) -> None:
    """delta-rs's own way to Arrow aborts at the end (exit status 134)."""
    write(tmp_path, range(100_000))
    code = f"""
from pathlib import Path
from payoff.testing.source import connect
source = connect("payoff.sources:delta", "people", Path({str(tmp_path)!r}), {{"path": "people"}})
print(source.read().read_all().num_rows, flush=True)
reader = source.read()
next(iter(reader))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, "100000"), ended.stderr


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
    pytest.importorskip("s3fs", reason="the extra payoff[s3] is not installed")
    with pytest.MonkeyPatch.context() as patch, stores.s3() as url:
        import fsspec

        patch.setenv("no_proxy", "*")
        fsspec.filesystem("s3", **stores.s3_options(url)).mkdir("lake")
        yield url


def keys(url: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": stores.SECRET, "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-west-1", "max_retries": "0", "retry_timeout": "1s",
    }  # fmt: skip


def test_delta_in_an_object_store(s3: str, tmp_path: Path) -> None:
    deltalake.write_deltalake("s3://lake/people", pa.table({"id": [1, 2, 3]}), storage_options=keys(s3))
    found = delta(tmp_path, path="s3://lake/people", storage_options=keys(s3))
    assert ids(found) == [1, 2, 3]
    assert found.version() == found.version()
    assert stores.SECRET not in str(found.describe())
    refused(delta(tmp_path, path="s3://lake/nothing", storage_options=keys(s3)), "PO-S200", UserError)


def test_delta_in_a_store_that_refuses_or_is_gone(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, web_.server() as web:
        patch.setenv("no_proxy", "*")
        web.play = lambda asked: web_.Answered(b"<Error><Code>AccessDenied</Code></Error>", status=403)
        said = refused(delta(tmp_path, path="s3://lake/people", storage_options=keys(web.url)), "PO-S202", OutsideError)
        assert "refused access" in said.what
        assert not said.may_retry
    said = refused(delta(tmp_path, path="s3://lake/people", storage_options=keys(web.url)), "PO-S202", OutsideError)
    assert said.may_retry


# -- Iceberg


class Shop:
    """A catalog in SQLite with one table."""

    def __init__(self, root: Path) -> None:
        from pyiceberg.catalog.sql import SqlCatalog

        self.root = root
        self.catalog = SqlCatalog("default", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}/warehouse")
        self.catalog.create_namespace("shop")
        schema = pa.schema({"id": pa.int64(), "name": pa.string()})
        self.table = self.catalog.create_table("shop.people", schema)

    def append(self, numbers: range) -> None:
        self.table.append(pa.table({"id": pa.array(numbers, pa.int64()), "name": [f"n{n}" for n in numbers]}))

    def source(self, **more: Any) -> Any:
        options = {"table": "shop.people", "catalog": {"type": "sql", "uri": "sqlite:///catalog.db", "password": stores.SECRET}}
        return connect("payoff.sources:iceberg", "people", self.root, {**options, **more})


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.catalog.close()


def test_iceberg_by_catalog_by_file_and_at_a_time(shop: Shop) -> None:
    assert ids(shop.source()) == []
    empty = shop.source().version()
    shop.append(range(3))
    first = shop.table.current_snapshot().snapshot_id
    shop.table.manage_snapshots().create_tag(first, "audited").commit()
    before = shop.source().version()
    shop.append(range(3, 5))
    assert ids(shop.source()) == [0, 1, 2, 3, 4]
    assert ids(shop.source(snapshot=first)) == ids(shop.source(ref="audited")) == [0, 1, 2]
    assert len({empty, before, shop.source().version()}) == 3
    assert shop.source(ref="audited").version() == before
    file = os.path.relpath(shop.table.metadata_location.removeprefix("file://"), shop.root)
    assert ids(connect("payoff.sources:iceberg", "people", shop.root, {"path": file})) == [0, 1, 2, 3, 4]
    for wrong in ({"snapshot": 7}, {"ref": "gone"}, {"ref": "audited", "snapshot": first}):
        refused(shop.source(**wrong), "PO-S211", UserError)


def test_iceberg_whose_columns_changed(shop: Shop) -> None:
    from pyiceberg.types import LongType

    shop.append(range(2))
    with shop.table.update_schema() as update:
        update.rename_column("name", "called")
    with shop.table.update_schema() as update:
        update.add_column("name", LongType())
    assert shop.source().schema() == pa.schema({"id": pa.int64(), "called": pa.string(), "name": pa.int64()})
    with shop.source().read(["name", "called", "id"]) as reader:
        assert reader.read_all().to_pylist() == [{"name": None, "called": f"n{n}", "id": n} for n in range(2)]


def test_iceberg_partitions_and_rewritten_rows(shop: Shop) -> None:
    from pyiceberg.transforms import IdentityTransform

    shop.append(range(10))
    with shop.table.update_spec() as update:
        update.add_field("id", IdentityTransform(), "part")
    shop.append(range(10, 20))
    shop.table.delete("id = 3 or id = 15")
    assert ids(shop.source()) == [n for n in range(20) if n not in {3, 15}]


def deleted(shop: Shop, content: str, file: Path, table: pa.Table, **facts: Any) -> str:
    """A snapshot of the table with a delete file beside its data, as another engine would write it; answers the metadata file."""
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestWriterV2, write_manifest_list
    from pyiceberg.serializers import ToOutputFile
    from pyiceberg.table.snapshots import Operation, Snapshot, Summary
    from pyiceberg.typedef import Record

    class Deletes(ManifestWriterV2):
        def content(self) -> ManifestContent:
            return ManifestContent.DELETES

    pq.write_table(table, file)
    io, old = PyArrowFileIO(), shop.table.current_snapshot()
    number, new = old.sequence_number + 1, old.snapshot_id + 1
    data_file = DataFile.from_args(
        content=DataFileContent[content], file_path=str(file), file_format=FileFormat.PARQUET, partition=Record(), record_count=table.num_rows,
        file_size_in_bytes=file.stat().st_size, **facts,
    )  # fmt: skip
    folder = shop.root / "deletes"
    folder.mkdir(exist_ok=True)
    with Deletes(shop.table.spec(), shop.table.schema(), io.new_output(f"file://{folder}/{content}.avro"), new, "null") as writer:
        writer.add_entry(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=new, sequence_number=None, file_sequence_number=None, data_file=data_file))
    listed = f"file://{folder}/list-{content}.avro"
    with write_manifest_list(2, io.new_output(listed), new, old.snapshot_id, number, "null") as writer:
        writer.add_manifests([*old.manifests(io), _manifest(folder / f"{content}.avro", new)])
    snapshot = Snapshot(
        snapshot_id=new, parent_snapshot_id=old.snapshot_id, sequence_number=number, timestamp_ms=old.timestamp_ms + 1, manifest_list=listed,
        summary=Summary(Operation.DELETE), schema_id=old.schema_id,
    )  # fmt: skip
    metadata = shop.table.metadata.model_copy(update={
        "snapshots": [*shop.table.metadata.snapshots, snapshot], "current_snapshot_id": new, "last_sequence_number": number, "refs": {},
    })  # fmt: skip
    ToOutputFile.table_metadata(metadata, io.new_output(f"file://{folder}/{content}.metadata.json"))
    return f"deletes/{content}.metadata.json"


def _manifest(path: Path, snapshot: int) -> Any:
    from pyiceberg.manifest import UNASSIGNED_SEQ, ManifestContent, ManifestFile

    return ManifestFile.from_args(
        manifest_path=f"file://{path}", manifest_length=path.stat().st_size, partition_spec_id=0, content=ManifestContent.DELETES,
        sequence_number=UNASSIGNED_SEQ, min_sequence_number=UNASSIGNED_SEQ, added_snapshot_id=snapshot, added_files_count=1, existing_files_count=0,
        deleted_files_count=0, added_rows_count=1, existing_rows_count=0, deleted_rows_count=0, partitions=[], key_metadata=None,
    )  # fmt: skip


def test_iceberg_positional_deletes_are_applied(shop: Shop) -> None:
    shop.append(range(10))
    shop.append(range(10, 20))
    (first, *_) = (task.file.file_path for task in shop.table.scan().plan_files())
    gone = pa.table({"file_path": [first, first], "pos": pa.array([2, 5], pa.int64())})
    path = deleted(shop, "POSITION_DELETES", shop.root / "gone.parquet", gone)
    found = connect("payoff.sources:iceberg", "people", shop.root, {"path": path})
    left = ids(found)
    assert len(left) == 18
    assert {n % 10 for n in range(20) if n not in left} == {2, 5}


def test_iceberg_equality_deletes_are_refused(shop: Shop) -> None:
    shop.append(range(10))
    path = deleted(shop, "EQUALITY_DELETES", shop.root / "gone.parquet", pa.table({"id": pa.array([3], pa.int64())}), equality_ids=[1])
    refused(connect("payoff.sources:iceberg", "people", shop.root, {"path": path}), "PO-S213", UserError)


def test_iceberg_that_is_not_whole(shop: Shop) -> None:
    shop.append(range(1000))
    (file,) = (Path(task.file.file_path.removeprefix("file://")) for task in shop.table.scan().plan_files())
    whole = file.read_bytes()
    pq.write_table(pq.read_table(file).slice(0, 900), file)
    assert "900 rows" in refused(shop.source(), "PO-S212", OutsideError).what
    file.write_bytes(whole[:-40])
    refused(shop.source(), "PO-S212", OutsideError)
    file.unlink()
    assert "gone" in refused(shop.source(), "PO-S212", OutsideError).what
    file.write_bytes(whole)
    assert len(ids(shop.source())) == 1000


def test_iceberg_that_is_not_there(shop: Shop, tmp_path: Path) -> None:
    sql = {"type": "sql", "uri": "sqlite:///catalog.db"}
    for options, code in (
        ({"table": "shop.persons"}, "PO-S210"),
        ({"table": "store.people"}, "PO-S210"),
        ({"catalog": {**sql, "uri": "sqlite:///gone.db"}}, "PO-S210"),
        ({"table": "", "catalog": {}, "path": "gone.metadata.json"}, "PO-S210"),
        ({"path": "x.metadata.json"}, "PO-S214"),
        ({"table": ""}, "PO-S214"),
        ({"table": "", "catalog": {}}, "PO-S214"),
        ({"catalog": {"type": "wat"}}, "PO-S214"),
        ({"catalog": {}, "catalog_name": "of-nobody"}, "PO-S214"),
    ):
        refused(shop.source(**options), code, UserError)
    assert not (tmp_path / "gone.db").exists()


def test_iceberg_by_a_rest_catalog(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests on the wire: the token is sent, and an answer of 401 or a server that is gone is an error without it."""
    monkeypatch.setenv("no_proxy", "*")
    shop.append(range(4))
    location = shop.table.metadata_location
    metadata = json.loads(Path(location.removeprefix("file://")).read_text())

    def play(asked: Any) -> Any:
        if asked.headers.get("Authorization") != f"Bearer {stores.SECRET}":
            return web_.Answered(json.dumps({"error": {"message": "no", "type": "NotAuthorizedException", "code": 401}}).encode(), status=401)
        answers = {
            "/v1/config": {"defaults": {}, "overrides": {}},
            "/v1/namespaces/shop/tables/people": {"metadata-location": location, "metadata": metadata, "config": {}},
        }
        found = answers.get(asked.path, {"error": {"message": "none", "type": "NoSuchTableException", "code": 404}})
        return web_.Answered(json.dumps(found).encode(), status=200 if asked.path in answers else 404, headers={"Content-Type": "application/json"})

    with web_.server() as web:
        web.play = play
        rest = {"type": "rest", "uri": web.url, "token": stores.SECRET}
        assert ids(shop.source(catalog=rest)) == [0, 1, 2, 3]
        refused(shop.source(catalog=rest, table="shop.nobody"), "PO-S210", UserError)
        said = refused(shop.source(catalog={**rest, "token": "wrong"}), "PO-S212", OutsideError)
        assert "refused" in said.what
        assert not said.may_retry
    assert refused(shop.source(catalog=rest), "PO-S212", OutsideError).may_retry


def test_a_lake_source_is_described_without_secrets(shop: Shop) -> None:
    for options in (
        {"catalog": {"type": "sql", "uri": f"postgresql+psycopg2://user:{stores.SECRET}@host/db"}},
        {"catalog": {"type": "rest", "uri": f"https://host/?token={stores.SECRET}", "token": stores.SECRET}},
    ):
        assert stores.SECRET not in str(shop.source(**options).describe())


def test_iceberg_memory_is_bounded(shop: Shop) -> None:
    """Four files of 2 million rows: one after the other, batches let go as they are read."""
    count = 2_000_000
    part = pa.table({"id": pa.array(range(count), pa.int64()), "name": pa.array(["some name that is long enough"]).take(pa.array([0] * count))})
    for _ in range(4):
        shop.table.append(part)
    size = part.nbytes
    del part
    highest = rows = 0
    with shop.source().read() as reader:
        for batch in reader:
            rows += batch.num_rows
            highest = max(highest, pa.total_allocated_bytes())
    assert rows == 4 * count
    assert highest < 2 * size, "the whole is four times as much"
