"""How tables arrive in a step and leave it: Arrow IPC files outside, the form that the annotation names inside."""

from __future__ import annotations

import os
import pickle
import sys

from .tasks import Unfit

TITLES = {
    "pyarrow": "a pyarrow.Table",
    "pandas": "a pandas.DataFrame",
    "polars": "a polars.DataFrame",
    "path": "the path of a Parquet file",
    "ibis": "an ibis.Table",
    "object": "an object",
}
FEW = 4096  # rows up to which threads cost more than they save
ROWS = 1 << 20  # rows of a batch in a file


def need(name, why):
    """Import a library that the user's environment must have."""
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise Unfit(
            "environment", f"{why} needs the package {name.partition('.')[0]}, which its environment does not have"
        ) from None


def arrive(each, beside):
    """An input in its form: tables are memory-mapped, objects unpickled (we are inside the sandbox)."""
    if not each["path"].endswith((".arrow", ".early")):
        with open(each["path"], "rb") as stream:
            return pickle.load(stream)
    return shaped(read(each), each["form"], each["name"], beside)


def read(each):
    """The table of an input, memory-mapped; only the columns it takes."""
    pa = need("pyarrow", f"input {each['name']}")
    with pa.memory_map(each["path"]) as source:
        table = pa.ipc.open_file(source).read_all()
    return table.select(each["columns"]) if each.get("columns") else table


def shaped(table, form, name, beside):
    """A pyarrow table in another form."""
    if form in ("pyarrow", "object"):
        return table
    if form == "pandas":
        need("pandas", f"input {name}")
        return table.to_pandas(use_threads=table.num_rows > FEW)
    if form == "polars":
        return need("polars", f"input {name}").from_arrow(table)
    if form == "ibis":
        return need("ibis", f"input {name}").memtable(table)
    from pathlib import Path

    parquet = need("pyarrow.parquet", f"input {name}")
    path = Path(f"{beside}.{name}.parquet")
    parquet.write_table(table, path)
    return path


def as_table(value, wanted):
    """A pyarrow table (or reader) of what a step returned; None when it is not a table."""
    top = type(value).__module__.partition(".")[0]
    if top == "pyarrow":
        pa = sys.modules["pyarrow"]
        if isinstance(value, (pa.Table, pa.RecordBatchReader)):
            return value
        if isinstance(value, pa.RecordBatch):
            return pa.Table.from_batches([value])
        return None
    if top == "pandas" and type(value).__name__ == "DataFrame":
        pa = need("pyarrow", "a pandas.DataFrame that is returned")
        import pandas

        plain = isinstance(value.index, pandas.RangeIndex) or value.index.name is None
        if any(not isinstance(name, str) for name in value.columns):
            raise Unfit("type", "the names of its columns must be text")
        return pa.Table.from_pandas(value, preserve_index=not plain)
    if top == "polars" and type(value).__name__ in ("DataFrame", "LazyFrame"):
        need("pyarrow", "a polars.DataFrame that is returned")
        return (value.collect() if type(value).__name__ == "LazyFrame" else value).to_arrow()
    if top == "ibis" and hasattr(value, "to_pyarrow"):
        return value.to_pyarrow()
    if isinstance(value, os.PathLike) and wanted in ("path", "pyarrow", "pandas", "polars"):
        parquet = need("pyarrow.parquet", "a path that is returned")
        try:
            return parquet.read_table(os.fspath(value))
        except (OSError, ValueError) as error:
            raise Unfit("type", f"it returned a path that is not a Parquet file ({type(error).__name__})") from None
    return None


def write(table, path):
    """Write an Arrow IPC file: uncompressed, so that it can be memory-mapped; the name appears when it is whole."""
    pa = need("pyarrow", "a table that is returned")
    schema = table.schema
    names = schema.names
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise Unfit("type", f"it returned a table with two columns of the name {twice[0]!r}")
    plain = schema.remove_metadata()
    with pa.OSFile(path + ".part", "wb") as sink, pa.ipc.new_file(sink, plain) as writer:
        batches = table.to_batches(max_chunksize=ROWS) if hasattr(table, "to_batches") else table
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(None))
    os.replace(path + ".part", path)
    return path
