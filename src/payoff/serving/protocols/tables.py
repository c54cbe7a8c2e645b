"""Rows as tables in JSON or CSV: what MLflow's scoring servers take at `/invocations`, and `/decide` as well.

https://mlflow.org/docs/latest/ml/deployment (the scoring protocol). One of `dataframe_split`, `dataframe_records`, `instances`, `inputs`; `/decide`
also takes `rows`, a list of objects.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from payoff.serving.faults import unreadable
from payoff.serving.protocols.tensors import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_DENSE, _SPARSE = 1 << 20, 16  # values of a table however few came of them, and else by each that came
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs", "rows")


class Table(NamedTuple):
    """Columns of `rows` values each, and the request's own name where it says one."""

    columns: dict[str, list[Any]]
    rows: int
    id: str = ""


def read(body: bytes, features: Sequence[str]) -> Table:
    """A table in JSON; `features` name the columns of rows that are lists."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(f"the body is no JSON: {plain(error)}") from None
    if not isinstance(document, dict):
        raise unreadable(f"the body is expected to be an object with one of {', '.join(_FORMS)}")
    forms = [form for form in _FORMS if form in document]
    if len(forms) != 1:
        raise unreadable(f"the body is expected to have exactly one of {', '.join(_FORMS)}")
    form, said = forms[0], document.get("id", "")
    if not isinstance(said, str):
        raise unreadable("id is expected to be text")
    table = _READ[form](document[form], features)
    return table._replace(id=said)


def _split(given: Any, _features: Sequence[str]) -> Table:
    if not isinstance(given, dict) or not isinstance(given.get("data"), list):
        raise unreadable('dataframe_split is expected to be {"columns": [...], "data": [[...], ...]}')
    names, data = given.get("columns"), given["data"]
    if not isinstance(names, list) or set(map(type, names)) - {str}:
        raise unreadable("dataframe_split is expected to name its columns")
    if len(set(names)) != len(names):
        raise unreadable("dataframe_split names a column twice")
    return _lists(data, names)


def _lists(data: list[Any], names: Sequence[str]) -> Table:
    if set(map(type, data)) - {list} or set(map(len, data)) - {len(names)}:
        raise unreadable(f"each row is expected to be a list of {len(names)} values")
    columns = zip(*data, strict=True) if data else ([] for _ in names)
    return Table(dict(zip(names, map(list, columns), strict=True)), len(data))


def _records(given: Any, features: Sequence[str]) -> Table:
    """A list of objects; one that leaves a column out has no value there."""
    if not isinstance(given, list):
        raise unreadable("rows are expected as a list")
    kinds = set(map(type, given))
    if kinds == {list}:
        return _lists(given, features)
    if kinds - {dict}:
        raise unreadable("each row is expected to be an object, as are the others")
    names = dict.fromkeys(name for row in given for name in row)
    # Each value that is left out takes as much memory as one that came: rows that name nothing in common would come to their number times itself.
    if len(names) * len(given) > max(_DENSE, _SPARSE * sum(map(len, given))):
        raise unreadable(
            f"{len(given):,} rows name {len(names):,} columns and leave out nearly all; send columns that are asked for alone"
        )
    return Table({name: [row.get(name) for row in given] for name in names}, len(given))


def _columns(given: Any, features: Sequence[str]) -> Table:
    """An object of lists; or as rows."""
    if not isinstance(given, dict):
        return _records(given, features)
    if any(not isinstance(each, list) for each in given.values()):
        given = {name: each if isinstance(each, list) else [each] for name, each in given.items()}
    sizes = set(map(len, given.values()))
    if len(sizes) != 1:
        raise unreadable("inputs is expected to have one list of the same length for each column")
    return Table({name: _flat(each) for name, each in given.items()}, sizes.pop())


def _flat(values: list[Any]) -> list[Any]:
    """A column whose values come in lists of one, as arrays of shape (n, 1) have them."""
    if values and all(type(each) is list and len(each) == 1 for each in values):
        return [each[0] for each in values]
    return values


_READ: Mapping[str, Callable[[Any, Sequence[str]], Table]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _records,
    "inputs": _columns,
    "rows": _records,
}


def read_csv(body: bytes, kinds: Mapping[str, str]) -> Table:
    """A table in CSV with a line of names; `kinds` are the columns' Arrow types, by which texts become values. Nothing between two commas is a missing value."""
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise unreadable("the body is no CSV in UTF-8") from None
    lines = [line for line in lines if line]
    if not lines:
        raise unreadable("the body is empty; a line of names and a line for each row are expected")
    names = lines[0]
    if len(set(names)) != len(names):
        raise unreadable("a column is named twice")
    table = _lists(lines[1:], names)
    return Table(
        {name: [value(each, kinds.get(name, "")) for each in values] for name, values in table.columns.items()},
        table.rows,
    )


def value(text: str, kind: str) -> Any:
    """What a text means in a column of that type; left as it is where it means nothing, so that the column's own check tells it."""
    if text == "":
        return None
    try:
        if kind.startswith(("int", "uint")):
            return int(text)
        if kind.startswith(("double", "float", "halffloat")):
            return float(text)
    except ValueError:
        return text
    if kind == "bool":
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
    return text
