"""Spark keeps what every cluster promises, and answers as DuckDB does. Needs pyspark and Java, and half a minute for a session."""

from __future__ import annotations

import importlib.util
import random
import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payoff.adapters.engines.duckdb import Options, connect
from payoff.base.errors import PayoffError
from payoff.data.push.queries import translate
from payoff.data.push.rules import Unlike, kind_of
from payoff.testing.cluster import ClusterSuite

pytestmark = [
    pytest.mark.slow,  # a session takes half a minute to start
    pytest.mark.skipif(not importlib.util.find_spec("pyspark"), reason="pyspark is not installed (uv pip install 'payoff[spark]')"),
    pytest.mark.skipif(not shutil.which("java"), reason="Java is not installed (apt-get install default-jre-headless)"),
    pytest.mark.filterwarnings("ignore"),  # pyspark's own
]
_spec = importlib.util.spec_from_file_location("cluster_queries", Path(__file__).with_name("queries.py"))
assert _spec and _spec.loader
queries = importlib.util.module_from_spec(_spec)
sys.modules["cluster_queries"] = queries
_spec.loader.exec_module(queries)


class TestSpark(ClusterSuite):
    adapter = "payoff.clusters:spark"
    options = {"address": "local[2]", "partitions": 2}

    def test_it_answers_as_duckdb(self, cluster, tmp_path: Path) -> None:
        engine, rng = connect(tmp_path, Options()), random.Random(5)
        files, parquet, kinds = {}, {}, {}
        types = [pa.int64(), pa.int32(), pa.float64(), pa.string(), pa.bool_(), pa.date32(), pa.int64()]
        for name, count in (("t", 60), ("u", 25)):
            columns = zip(*queries.rows(rng, count))
            table = pa.table({c: pa.array(v, k) for c, v, k in zip(queries.COLUMNS, columns, types)})
            files[name], parquet[name] = tmp_path / f"{name}.arrow", tmp_path / f"{name}.parquet"
            engine.write(table.to_reader(), files[name])
            pq.write_table(table, parquet[name])
            kinds[name] = {field.name: kind_of(str(field.type)) for field in table.schema}
        alike = stayed = 0
        plain = lambda t: sorted(repr([0.0 if v == 0 and isinstance(v, float) else v for v in r.values()]) for r in t.to_pylist())  # noqa: E731
        for _ in range(80):
            sql = re.sub(r"\ba\.", "ta.", re.sub(r"\bas a\b", "as ta", queries.query(rng)))  # not the name of a column
            try:
                expected = engine.query(sql, files)
                translated = translate(sql, kinds, cluster.place().dialect)
            except PayoffError:
                continue
            except Unlike:
                stayed += 1
                continue
            with cluster.run(translated.sql, {name: parquet[name] for name in translated.tables}, expected.schema) as reader:
                assert plain(reader.read_all()) == plain(expected), sql
            alike += 1
        assert alike > 20, (alike, stayed)
