"""What an ibis step means as SQL: its function is called with unbound tables, and its expression compiled."""

from __future__ import annotations

from .forms import need
from .tasks import Unfit


def compile_step(function, task):
    """The SQL of a lazy step."""
    ibis = need("ibis", "an ibis.Table")
    pa = need("pyarrow", "an ibis.Table")
    inputs = {}
    for each in task["inputs"]:
        schema = ibis.schema({field["name"]: dtype(pa, field) for field in each["fields"]})
        inputs[each["name"]] = ibis.table(schema, name=each["name"])
    expression = function(**inputs, **task["parameters"])
    if not isinstance(expression, ibis.expr.types.Table):
        raise Unfit("type", f"its annotation promises an ibis.Table, it returned {type(expression).__name__}")
    return {"kind": "sql", "sql": to_sql(expression), "extra": {"columns": list(expression.columns)}}


def to_sql(expression):
    """DuckDB's SQL, made by ibis's compiler alone, so that the environment needs no duckdb."""
    try:
        from ibis.backends.sql.compilers.duckdb import compiler
    except ModuleNotFoundError as error:
        raise lacking(error) from None
    return compiler.to_sqlglot(expression.unbind()).sql("duckdb", pretty=True)


def dtype(pa, field):
    """ibis's type of an Arrow type given as text."""
    try:
        from ibis.formats.pyarrow import PyArrowType
    except ModuleNotFoundError as error:
        raise lacking(error) from None
    return PyArrowType.to_ibis(arrow_type(pa, field["type"]))


def arrow_type(pa, text):
    """An Arrow type from its text, as far as tables of a source have it."""
    plain = {
        "double": "float64",
        "float": "float32",
        "halffloat": "float16",
        "date32[day]": "date32",
        "date64[ms]": "date64",
    }
    if text.startswith("timestamp["):
        unit, _, zone = text[len("timestamp[") : -1].partition(", tz=")
        return pa.timestamp(unit, zone or None)
    if text.startswith(("decimal128(", "decimal256(")):
        precision, scale = text[text.index("(") + 1 : -1].split(",")
        return pa.decimal128(int(precision), int(scale))
    if text.startswith("dictionary<"):
        return arrow_type(pa, text[len("dictionary<values=") :].partition(",")[0])
    if text.startswith(("time32[", "time64[", "duration[")):
        kind, _, unit = text.partition("[")
        return getattr(pa, kind)(unit.rstrip("]"))
    if text.startswith("list<"):
        inner = text[text.index(":") + 1 : -1].strip()
        return pa.list_(arrow_type(pa, inner))
    return pa.type_for_alias(plain.get(text, text))


def lacking(error):
    """ibis installed without what its DuckDB compiler needs."""
    return Unfit("environment", f"an ibis step needs the package {error.name}: uv add 'ibis-framework[duckdb]'")
