"""Messages -> rows. Objects of declared fields (JSON, or what a format makes of the bytes); what is no such object is set aside with the reason, never with a value in it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from payoff.base import lazy
from payoff.base.errors import UserError
from payoff.ports.streaming.format import Unreadable
from payoff.records.stream import Poison

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from payoff.ports.streaming.format import Format
    from payoff.records.contract import Contract
    from payoff.records.stream import Batch, StreamOptions
else:
    pa = lazy.Module("pyarrow")

RESERVED = ("_partition", "_offset", "_time", "_key")
_ALIKE = {
    "string": "string",
    "date": "date32",
    "timestamp": "timestamp[us, tz=UTC]",
    "time": "string",
    "number": "float64",
    "integer": "int64",
    "boolean": "bool",
    "object": "json",
    "array": "json",
}
_REASONS = {
    "unknown": "it has a field that is not declared",
    "none": "it has no content",
    "deep": "it is nested too deeply",
}
# What Arrow says of values that do not fit; its words hold the value and are not repeated.
_UNFIT = (ValueError, TypeError, OverflowError)


class _Field(NamedTuple):
    name: str
    type: pa.DataType
    told: bool  # arrives as text and is cast, as files' texts are
    json: bool


def types_of(contract: Contract | None) -> dict[str, str]:
    """The types that a contract says of its columns."""
    if contract is None:
        return {}
    named = {column.name: _ALIKE[column.type] for column in contract.columns if column.type is not None}
    return {name: kind for name, kind in named.items() if name not in RESERVED}


def arrow_type(text: str) -> pa.DataType:
    """An Arrow type by its name; `ValueError` for what is none."""
    plain = text.strip()
    if plain == "json":
        return pa.string()
    if plain.startswith("timestamp["):
        unit, _, zone = plain[len("timestamp[") : -1].partition(",")
        return pa.timestamp(unit.strip(), zone.strip().removeprefix("tz=") or None)
    if plain.startswith("decimal("):
        precision, scale = plain[len("decimal(") : -1].split(",")
        return pa.decimal128(int(precision), int(scale))
    return pa.type_for_alias(plain)


class Decoder:
    """Decodes the messages of one stream. `offset` is the Arrow type of its offsets; `form` makes the objects where messages are no JSON."""

    def __init__(
        self, table: str, options: StreamOptions, types: Mapping[str, str], offset: str, *, form: Format | None = None
    ) -> None:
        self._table = table
        self._options = options
        self._form = form
        self._fields = [_field(table, name, kind) for name, kind in types.items()]
        if not self._fields:
            raise UserError(
                f"no types are declared for the messages of {table}",
                code="PO-M001",
                expected="each field's type, in the source's section or in the table's contract",
                remedy=f'add to [sources.{table}]: types = {{ id = "int64", at = "timestamp[us, tz=UTC]" }}',
            )
        places = [("_partition", "string"), ("_offset", offset), ("_time", "timestamp[us, tz=UTC]"), ("_key", "string")]
        declared = [(field.name, field.type) for field in self._fields]
        self.schema: pa.Schema = pa.schema([*declared, *((name, arrow_type(kind)) for name, kind in places)])
        strict = options.unknown == "set aside"
        self._objects = msgspec.json.Decoder(_struct(self._fields, strict=strict, texts=False))
        self._texts = msgspec.json.Decoder(dict[str, str])
        self._text_form = _struct(self._fields, strict=strict, texts=True)

    def decode(self, batch: Batch) -> tuple[pa.Table, tuple[Poison, ...]]:
        """The rows of a batch, in its order, and the messages that are none."""
        bad: dict[int, str] = {}
        columns = self._objects_of(batch, bad) if self._form is None else self._formed(self._form, batch, bad)
        columns += [
            pa.array(batch.partitions, pa.string()),
            pa.array(batch.offsets, self.schema.field("_offset").type),
            pa.array(batch.times, pa.int64()).cast(self.schema.field("_time").type),
            pa.array(batch.keys, pa.string()),
        ]
        table = pa.Table.from_arrays(columns, schema=self.schema)
        if bad:
            table = table.take(pa.array([place for place in range(len(batch.values)) if place not in bad], pa.int64()))
        return table, tuple(_poison(batch, place, reason) for place, reason in sorted(bad.items()))

    def describe(self) -> dict[str, Any]:
        """What besides the declared fields decides what messages become; nothing for JSON."""
        return {} if self._form is None else self._form.describe()

    def _objects_of(self, batch: Batch, bad: dict[int, str]) -> list[pa.Array]:
        messages = [self._one(value, place, bad, texts=batch.texts) for place, value in enumerate(batch.values)]
        return [_column(field, [getattr(m, f"f{n}") for m in messages], bad) for n, field in enumerate(self._fields)]

    def _formed(self, form: Format, batch: Batch, bad: dict[int, str]) -> list[pa.Array]:
        if batch.texts:
            raise UserError(
                f"the messages of {self._table} are fields with texts, and their format is {self._options.format}",
                code="PO-M019",
                expected="one field that holds the message",
                remedy=f'add field = "NAME" to [sources.{self._table}] of payoff.toml',
            )
        known = {field.name for field in self._fields} if self._options.unknown == "set aside" else None
        objects: list[Mapping[str, Any]] = []
        for place, value in enumerate(batch.values):
            found: Mapping[str, Any] = {}
            try:
                if self._fits(value, place, bad):
                    found = form.read(value or b"")
            except Unreadable as error:
                bad[place] = str(error)
            if known is not None and not found.keys() <= known:
                bad[place] = _REASONS["unknown"]
            objects.append({} if place in bad else found)
        return [_given(field, [each.get(field.name) for each in objects], bad) for field in self._fields]

    def _fits(self, value: bytes | None, place: int, bad: dict[int, str]) -> bool:
        if value is None:
            bad[place] = _REASONS["none"]
        elif len(value) > self._options.largest:
            bad[place] = f"it has {len(value):,} bytes, more than the {self._options.largest:,} of `largest`"
        return place not in bad

    def _one(self, value: bytes | None, place: int, bad: dict[int, str], *, texts: bool) -> Any:
        try:
            if not self._fits(value, place, bad):
                pass
            elif texts:
                return msgspec.convert(self._texts.decode(value or b""), self._text_form, strict=False)
            else:
                return self._objects.decode(value or b"")
        except RecursionError:
            bad[place] = _REASONS["deep"]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            bad[place] = _REASONS["unknown"] if "unknown field" in str(error) else str(error)
        return self._text_form()


def _field(table: str, name: str, kind: str) -> _Field:
    if name in RESERVED:
        raise UserError(
            f"{table}: a field cannot be called {name}",
            code="PO-M003",
            expected=f"names other than {', '.join(RESERVED)}, which say where a message was in the stream",
            remedy=f"take {name} out of the types of {table}: it is there already",
        )
    try:
        found = arrow_type(kind)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{table}: the type of {name} is not known",
            code="PO-M002",
            expected="int64, float64, string, bool, date32, timestamp[us, tz=UTC], decimal(12, 2) or json",
            remedy=f"correct the type of {name} in [sources.{table}] of payoff.toml",
        ) from error
    told = pa.types.is_temporal(found) or pa.types.is_decimal(found)
    return _Field(name, found, told, kind.strip() == "json")


def _struct(fields: list[_Field], *, strict: bool, texts: bool) -> Any:
    made = []
    for number, field in enumerate(fields):
        kind: Any = _python(field.type)
        if field.json:
            kind = str | None if texts else msgspec.Raw
        nothing = msgspec.Raw(b"") if field.json and not texts else None
        made.append((f"f{number}", kind, msgspec.field(default=nothing, name=field.name)))
    return msgspec.defstruct("Message", made, forbid_unknown_fields=strict, gc=False)


def _python(kind: pa.DataType) -> Any:
    of = pa.types
    if of.is_integer(kind):
        return int | None
    if of.is_floating(kind):
        return float | None
    if of.is_boolean(kind):
        return bool | None
    if of.is_binary(kind) or of.is_large_binary(kind):
        return bytes | None
    return str | int | float | None if of.is_decimal(kind) else str | None


def _column(field: _Field, values: list[Any], bad: dict[int, str]) -> pa.Array:
    if field.json:
        values = [_as_text(value) for value in values]
    elif field.told:
        values = [None if value is None else str(value) for value in values]
    return _each(field, values, bad, _array)


def _each(
    field: _Field, values: list[Any], bad: dict[int, str], make: Callable[[_Field, list[Any]], pa.Array]
) -> pa.Array:
    """A column; where it cannot be made at once, the values that do not fit are found one by one."""
    try:
        return make(field, values)
    except _UNFIT:
        pass
    for place, value in enumerate(values):
        try:
            make(field, [value])
        except _UNFIT:
            bad.setdefault(place, f"{field.name} is no {field.type}")
            values[place] = None
    return make(field, values)


def _given(field: _Field, values: list[Any], bad: dict[int, str]) -> pa.Array:
    """A column of values that have their types already."""
    if field.json:
        made = [None if value is None else msgspec.json.encode(value).decode() for value in values]
        return pa.array(made, field.type)
    return _each(field, values, bad, _typed)


def _typed(field: _Field, values: list[Any]) -> pa.Array:
    """Instants stay instants, truth is no number; a text may say a time or a decimal."""
    kind = field.type
    of = pa.types
    for value in values:
        # Arrow would take these, and change them without a word.
        if isinstance(value, bool):
            fits = of.is_boolean(kind)
        elif isinstance(value, float):
            fits = not of.is_integer(kind)
        elif isinstance(value, dt.datetime):
            fits = of.is_timestamp(kind) and (value.tzinfo is None) == (kind.tz is None)
        else:
            continue
        if not fits:
            raise pa.ArrowInvalid("a value of another type")
    if field.told and any(isinstance(value, str) for value in values):
        values = [None if value is None else str(value) for value in values]
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)


def _array(field: _Field, values: list[Any]) -> pa.Array:
    return pa.array(values, pa.string()).cast(field.type) if field.told else pa.array(values, field.type)


def _as_text(value: msgspec.Raw | str | None) -> str | None:
    text = value if isinstance(value, str) or value is None else bytes(value).decode()
    return None if text in {"", "null"} else text


def _poison(batch: Batch, place: int, reason: str) -> Poison:
    return Poison(
        partition=batch.partitions[place],
        offset=str(batch.offsets[place]),
        time=batch.times[place],
        key=batch.keys[place],
        reason=reason,
        payload=batch.values[place],
    )
