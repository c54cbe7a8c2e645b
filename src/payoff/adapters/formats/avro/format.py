"""Bytes become objects, by the schema that wrote them and the one that is declared."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import TYPE_CHECKING, Any

from payoff.adapters.formats.avro.registry import Folder, Registry, Server, Unknown
from payoff.adapters.formats.avro.types import arrow_types
from payoff.base import hashing, lazy
from payoff.base.errors import UserError
from payoff.ports.streaming.format import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import fastavro
else:
    fastavro = lazy.Module("fastavro")

CAPABILITIES = {"schema": True, "registry": True}
_HEAD = 5  # a zero byte and four of the schema's number


@dataclasses.dataclass(frozen=True)
class Options:
    """`schema`: a file (`.avsc`) relative to the project: what messages become; without a registry also what they were written by. `registry`: where the writers' schemas are, by the number
    that messages begin with: the address of a registry (`https://user:password@host`, best as a `${ENV_VAR}` reference) or a folder with files `NUMBER.avsc`.
    """

    schema: str = ""
    registry: str = ""


def connect(name: str, options: Options, root: Path) -> Avro:
    """A format; no file is read yet."""
    if not options.schema and not options.registry:
        raise UserError(
            f"source {name}: Avro is read by schemas, and none is named",
            code="PO-M016",
            expected="a file of a schema, or a registry that has them",
            remedy=f'add schema = "schemas/{name}.avsc" or registry = "https://…" to [sources.{name}] of payoff.toml',
        )
    return Avro(name, options, root)


class Avro:
    """See `ports.streaming.format.Format`."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._root = root
        self._declared: Any = None
        self._registry: Registry | None = None

    def types(self) -> Mapping[str, str]:
        """By the declared schema."""
        return arrow_types(self._reader()) if self._options.schema else {}

    def read(self, value: bytes) -> Mapping[str, Any]:
        """By the writer's schema, resolved to the declared one."""
        reader: Any = self._reader() if self._options.schema else None
        writer, body = self._written(value) if self._options.registry else (reader, value)
        stream = io.BytesIO(body)
        try:
            found = fastavro.schemaless_reader(stream, writer, reader)
        except fastavro.read.SchemaResolutionError:
            raise Unreadable("what it was written by cannot be read as the declared schema") from None
        except EOFError:
            raise Unreadable("it ends before its schema does") from None
        except UnicodeDecodeError:
            raise Unreadable("a text in it is no UTF-8") from None
        except Exception as error:  # whatever the library meets in bytes that are anything
            raise Unreadable(f"it is no Avro of its schema ({type(error).__name__})") from None
        if stream.tell() != len(body):
            raise Unreadable(f"its schema ends {len(body) - stream.tell():,} bytes before it does")
        if not isinstance(found, dict):
            raise Unreadable("its schema is no record")
        # The library makes objects of UUIDs; they are texts here.
        return {name: str(each) if type(each).__name__ == "UUID" else each for name, each in found.items()}

    def describe(self) -> dict[str, Any]:
        """The format, and the digest of the declared schema."""
        text = json.dumps(self._reader(), sort_keys=True) if self._options.schema else ""
        return {"format": "avro", "schema": hashing.of_text(text) if text else ""}

    def _written(self, value: bytes) -> tuple[Any, bytes]:
        if len(value) < _HEAD or value[0] != 0:
            raise Unreadable("it does not begin with a zero byte and the number of a schema")
        number = int.from_bytes(value[1:_HEAD], "big")
        if self._registry is None:
            place = self._options.registry
            self._registry = Server(self._name, place) if "://" in place else Folder(self._name, self._root / place)
        try:
            return self._registry.schema(number), value[_HEAD:]
        except Unknown as error:
            raise Unreadable(str(error)) from None

    def _reader(self) -> Any:
        if self._declared is None:
            file = self._root / self._options.schema
            try:
                self._declared = fastavro.parse_schema(json.loads(file.read_text(encoding="utf-8")))
            except OSError:
                raise self._wrong("cannot be read", "a file with a schema") from None
            except ValueError as error:
                line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
                raise self._wrong(f"is no JSON{line}", "a schema of Avro, in JSON") from None
            except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, TypeError, KeyError) as error:
                raise self._wrong(f"is no schema of Avro ({type(error).__name__})", "a schema of Avro") from None
            if not isinstance(self._declared, dict) or self._declared.get("type") != "record":
                raise self._wrong("is no record", "a schema whose type is record: its fields are the columns")
        return self._declared

    def _wrong(self, what: str, expected: str) -> UserError:
        return UserError(
            f"source {self._name}: the schema {self._options.schema} {what}",
            code="PO-M016",
            expected=expected,
            remedy=f"correct the file, or schema in [sources.{self._name}] of payoff.toml",
        )
