"""Apache Spark: a standalone master (`spark://host:7077`), Spark Connect (`sc://host`), or processes here (`local[2]`)."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.ids import new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from payoff.records.placement import Location
else:
    pa = lazy.Module("pyarrow")

CAPABILITIES = {"dialect": "spark", "parquet": True}
_QUIET = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """`address` of the master or of Spark Connect. `exchange`: a folder that this machine and the workers see under the same path (relative to
    the project; default: in `.payoff/`). `partitions`: of a shuffle (0: Spark's own number).
    """

    address: str
    exchange: str = ".payoff/exchange"
    partitions: int = 0


def connect(root: Path, options: Options) -> Spark:
    """A cluster; no session is started yet."""
    return Spark(root, options)


class Spark:
    """See `ports.cluster.Cluster`."""

    def __init__(self, root: Path, options: Options) -> None:
        self._options = options
        self._exchange = root / options.exchange
        self._session: Any = None
        self._lock = threading.Lock()

    def place(self) -> Location:
        """The address; what means the same there as in DuckDB."""
        from payoff.records.placement import Dialect, Location

        functions = frozenset(
            {"length", "substring", "like", "calendar", "greatest", "narrow_int", "window", "moments", "full_join"}
        )
        dialect = Dialect(name="spark", title="Spark", functions=functions, structs=True)
        return Location(
            id=hashing.of_json(["spark", self._options.address]), address=self._options.address, dialect=dialect
        )

    def exchange(self) -> Path:
        """The folder for Parquet files."""
        self._exchange.mkdir(parents=True, exist_ok=True)
        return self._exchange

    def run(self, sql: str, tables: Mapping[str, Path], schema: pa.Schema) -> pa.RecordBatchReader:
        """Each query has a session of its own, so that its tables are seen by no other; the answer comes through the folder."""
        return pa.RecordBatchReader.from_batches(schema, self._answer(sql, tables, schema))

    def close(self) -> None:
        """Stop what was started."""
        if self._session is not None:
            self._session.stop()
            self._session = None

    def _answer(self, sql: str, tables: Mapping[str, Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow.dataset as ds

        output = self.exchange() / f"answer-{new_run_id()}-{threading.get_ident()}"
        try:
            self._write(sql, tables, output)
            for batch in ds.dataset(output, format="parquet").to_batches():
                arrays = [_fitted(array, field) for array, field in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        finally:
            shutil.rmtree(output, ignore_errors=True)

    def _write(self, sql: str, tables: Mapping[str, Path], output: Path) -> None:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            session = self._started().newSession()
            for name, file in tables.items():
                session.read.parquet(str(file)).createOrReplaceTempView(name)
            session.sql(sql).write.parquet(str(output))
        except PySparkException as error:
            raise UserError(
                f"Spark at {self._options.address} stopped the query ({_condition(error)})",
                code="PO-E020",
                expected="a query that runs to its end there",
                remedy="look at the limits and the log of the cluster, or take [engine] out of payoff.toml",
            ) from None
        except (Py4JError, OSError) as error:
            raise OutsideError(
                f"Spark at {self._options.address} cannot be reached ({type(error).__name__})",
                code="PO-E021",
                expected="a cluster that answers at address",
                remedy="check address in [engine] of payoff.toml, and that Java is installed, then run again",
                retryable=True,
            ) from None

    def _started(self) -> Any:
        from pyspark.sql import SparkSession

        with self._lock:
            if self._session is None:
                address, remote = self._options.address, self._options.address.startswith("sc://")
                builder = SparkSession.builder.remote(address) if remote else SparkSession.builder.master(address)
                for name, value in _QUIET.items():
                    builder = builder.config(name, value)
                if self._options.partitions:
                    builder = builder.config("spark.sql.shuffle.partitions", str(self._options.partitions))
                self._session = builder.getOrCreate()
                logging.getLogger("SQLQueryContextLogger").disabled = True  # it writes what Spark says, with values
            return self._session


def _condition(error: Any) -> str:
    """Spark's own name of what happened: its words may hold values."""
    condition = error.getCondition() if hasattr(error, "getCondition") else None
    return str(condition or type(error).__name__)


def _fitted(array: pa.Array, field: pa.Field) -> pa.Array:
    try:
        return array if array.type == field.type else array.cast(field.type)
    except pa.ArrowException:
        raise OutsideError(
            f"Spark: a value of {field.name} does not fit into {field.type}",
            code="PO-S034",
            expected=f"{field.type} in every row of the query's answer",
            remedy=f"cast {field.name} to a larger type in the step",
        ) from None
