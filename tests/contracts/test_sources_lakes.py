"""Delta Lake and Iceberg tables keep what every source promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from payoff.testing.source import SourceSuite

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("deltalake", reason="the extra payoff[delta] is not installed")
pytest.importorskip("pyiceberg", reason="the extra payoff[iceberg] is not installed")


class TestDelta(SourceSuite):
    adapter = "payoff.sources:delta"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        from deltalake import write_deltalake

        half = table.num_rows // 2
        write_deltalake(str(root / name), table.slice(0, half), mode="overwrite", partition_by=["yes"])
        if table.num_rows:
            write_deltalake(str(root / name), table.slice(half), mode="append")
        return {"path": name}


class TestIceberg(SourceSuite):
    adapter = "payoff.sources:iceberg"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("default", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}/warehouse")
        try:
            catalog.create_namespace_if_not_exists("shop")
            made = catalog.create_table_if_not_exists(f"shop.{name}", table.schema)
            half = table.num_rows // 2
            made.append(table.slice(0, half))
            made.append(table.slice(half))
        finally:
            catalog.close()
        return {"table": f"shop.{name}", "catalog": {"type": "sql", "uri": "sqlite:///catalog.db"}}
