"""The contract suite of clusters.

Inherit it in a test file, name the adapter, and say its options:

    class TestMyCluster(ClusterSuite):
        adapter = "payoff.clusters:mine"
        options = {"address": "..."}
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import PayoffError
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payoff.ports.cluster import Cluster


class ClusterSuite:
    """What every cluster does."""

    adapter: ClassVar[str] = ""
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(scope="class")
    def cluster(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
        """One session for all tests."""
        group, _, kind = self.adapter.partition(":")
        module: Any = entry_points.load(group, kind)
        made = module.connect(tmp_path_factory.mktemp("cluster"), module.Options(**self.options))
        yield made
        made.close()

    @pytest.fixture(scope="class")
    def file(self, cluster: Cluster) -> Path:
        """Three rows of every kind."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = cluster.exchange() / "t.parquet"
        columns = {
            "id": pa.array([1, 2, 3], pa.int64()),
            "x": pa.array([0.5, None, 2.0]),
            "name": pa.array(["ä", None, "Z"]),
            "yes": pa.array([True, None, False]),
            "day": pa.array([dt.date(2024, 1, 31), None, dt.date(1969, 2, 3)]),
        }
        pq.write_table(pa.table(columns), path)
        return path

    def test_rows_come_as_the_schema_says(self, cluster: Cluster, file: Path) -> None:
        import pyarrow.parquet as pq

        table = pq.read_table(file)
        with cluster.run("select id, x, name, yes, day from t order by id", {"t": file}, table.schema) as reader:
            assert reader.read_all().equals(table)

    def test_a_sum_has_the_type_that_is_asked_for(self, cluster: Cluster, file: Path) -> None:
        import pyarrow as pa

        schema = pa.schema([("s", pa.decimal128(38, 0))])
        with cluster.run("select sum(id) as s from t", {"t": file}, schema) as reader:
            assert int(reader.read_all()["s"][0].as_py()) == 6

    def test_what_does_not_fit_is_no_rounded_value(self, cluster: Cluster, file: Path) -> None:
        import pyarrow as pa

        with (
            pytest.raises(PayoffError) as caught,
            cluster.run("select 1099511627776 as n from t", {"t": file}, pa.schema([("n", pa.int8())])) as reader,
        ):
            reader.read_all()
        assert "1099511627776" not in str(caught.value)

    def test_what_stops_a_query_is_said_without_values(
        self, cluster: Cluster, file: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        import pyarrow as pa

        sql = "select cast(concat(name, 'geheim') as bigint) as n from t"
        with (
            pytest.raises(PayoffError) as caught,
            cluster.run(sql, {"t": file}, pa.schema([("n", pa.int64())])) as reader,
        ):
            reader.read_all()
        assert "geheim" not in str(caught.value) + "".join(capfd.readouterr())

    def test_nothing_is_left_in_the_folder_but_inputs(self, cluster: Cluster, file: Path) -> None:
        assert [each.name for each in cluster.exchange().iterdir()] == [file.name]
