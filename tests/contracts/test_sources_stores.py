"""Files in object stores keep what every source promises."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payoff.testing.source import SourceSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("stores_of_contracts", Path(__file__).with_name("stores.py"))
assert _spec and _spec.loader
stores = importlib.util.module_from_spec(_spec)
sys.modules["stores_of_contracts"] = stores
_spec.loader.exec_module(stores)


@pytest.fixture(scope="module", autouse=True)
def _direct() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it asks Google's own address otherwise
        yield


class _Stored:
    """A table in two Parquet files of a bucket, in a folder of its own."""

    scheme = ""
    options: dict[str, Any]

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        import fsspec

        system = fsspec.filesystem(self.scheme, **self.options)
        folder = f"shop/{abs(hash(str(root)))} ü"
        half = table.num_rows // 2
        for file, part in (("a", table.slice(0, half)), ("b", table.slice(half))):
            with system.open(f"{folder}/{file}.parquet", "wb") as stream:
                pq.write_table(part, stream)
        return {"path": f"{self.scheme}://{folder}/*.parquet", "storage_options": self.options}


@pytest.fixture(scope="module")
def s3(_direct: None) -> Iterator[dict[str, Any]]:
    pytest.importorskip("s3fs", reason="the extra payoff[s3] is not installed")
    pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
    with stores.s3() as url:
        import fsspec

        options = stores.s3_options(url)
        fsspec.filesystem("s3", **options).mkdir("shop")
        yield options


class TestS3(_Stored, SourceSuite):
    adapter = "payoff.sources:files"
    scheme = "s3"

    @pytest.fixture(autouse=True)
    def _server(self, s3: dict[str, Any]) -> None:
        self.options = s3


@pytest.fixture(scope="module")
def gcs(_direct: None) -> Iterator[dict[str, Any]]:
    pytest.importorskip("gcsfs", reason="the extra payoff[gcs] is not installed")
    pytest.importorskip("gcp_storage_emulator", reason="gcp-storage-emulator is not installed")
    with stores.gcs() as options:
        yield options


@pytest.mark.filterwarnings("ignore:Sending a large body")  # of what writes the test table
@pytest.mark.slow  # gcsfs and the emulator are 25 packages, and are not installed for the tests
class TestGcs(_Stored, SourceSuite):
    adapter = "payoff.sources:files"
    scheme = "gs"

    @pytest.fixture(autouse=True)
    def _server(self, gcs: dict[str, Any]) -> None:
        self.options = gcs


@pytest.fixture(scope="module")
def azure(_direct: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    pytest.importorskip("adlfs", reason="the extra payoff[azure] is not installed")
    if not stores.azurite_program():
        pytest.skip("azurite-blob is not installed: npm install azurite, and say where it is in AZURITE")
    with stores.azure(str(tmp_path_factory.mktemp("azurite"))) as options:
        import fsspec

        fsspec.filesystem("az", **options).mkdir("shop")
        yield options


@pytest.mark.filterwarnings("ignore:Sending a large body")
@pytest.mark.slow  # adlfs and azurite are not installed for the tests
class TestAzure(_Stored, SourceSuite):
    adapter = "payoff.sources:files"
    scheme = "az"

    @pytest.fixture(autouse=True)
    def _server(self, azure: dict[str, Any]) -> None:
        self.options = azure
