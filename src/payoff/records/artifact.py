"""What steps and sources make: immutable tables and objects, named by their content."""

from __future__ import annotations

from typing import Literal

import msgspec

from payoff.base import hashing


class Field(msgspec.Struct, frozen=True):
    """A column's name and its Arrow type as text (`int64`, `string`, `timestamp[us, tz=UTC]`)."""

    name: str
    type: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a table (Arrow IPC file) or an object (a pickle, opened only inside a sandbox).

    `id` is the content's identity. For a table it does not depend on the order of rows; for an object it is the digest of its
    bytes. `file` is relative to the store. `python_type` is the object's class, as text.
    """

    id: str
    kind: Literal["table", "object"]
    file: str
    bytes: int
    rows: int | None = None
    fields: tuple[Field, ...] = ()
    python_type: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order; none for an object."""
        return tuple(field.name for field in self.fields)


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink answers: the identity of the table that is there now, its rows, and whether it was there `already` (then nothing was written)."""

    identity: str
    rows: int
    already: bool = False


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of a table file: its content hash independent of row order, its rows, its columns."""

    hash: str
    rows: int
    fields: tuple[Field, ...]

    @property
    def name(self) -> str:
        """One digest for all of it."""
        return hashing.of_json([self.hash, self.rows, [[field.name, field.type] for field in self.fields]])
