"""The contract suite of formats.

Inherit it in a test file, name the adapter, and say how a message is written; pytest does the rest:

    class TestMyFormat(FormatSuite):
        adapter = "payoff.formats:mine"

        def options(self, root): ...          # `schema` and `registry`, whose files are made under root
        def objects(self): ...                # some objects, all of the same fields
        def message(self, thing): ...         # the bytes of such an object, written by other means than the adapter's
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import PayoffError
from payoff.ports.streaming.format import Unreadable
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from payoff.ports.streaming.format import Format

MARKED = "geheim-0815"


def connect(adapter: str, name: str, root: Path, options: dict[str, str]) -> Format:
    """The format that an entry point `group:name` leads to."""
    group, _, kind = adapter.partition(":")
    module: Any = entry_points.load(group, kind)
    made: Format = module.connect(name, module.Options(**options), root)
    return made


class FormatSuite:
    """What every format does."""

    adapter: ClassVar[str] = ""

    def options(self, root: Path) -> dict[str, str]:
        """`schema` and `registry`."""
        raise NotImplementedError

    def objects(self) -> list[dict[str, Any]]:
        """Some objects."""
        raise NotImplementedError

    def message(self, thing: dict[str, Any]) -> bytes:
        """The bytes of one."""
        raise NotImplementedError

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A project's folder with a space and letters beyond ASCII."""
        folder = tmp_path / "mein Prüfstand 数"
        folder.mkdir()
        return folder

    def made(self, root: Path) -> Format:
        """The format."""
        return connect(self.adapter, "t", root, self.options(root))

    def plain(self, thing: Mapping[str, Any]) -> dict[str, Any]:
        """An object of `objects` as `read` gives it; override where a format has fewer types."""
        return dict(thing)

    def test_what_was_written_comes_back(self, root: Path) -> None:
        made = self.made(root)
        for thing in self.objects():
            assert dict(made.read(self.message(thing))) == self.plain(thing)

    def test_the_same_bytes_are_the_same_object_whatever_came_before(self, root: Path) -> None:
        messages = [self.message(thing) for thing in self.objects()]
        first = [dict(self.made(root).read(each)) for each in messages]
        made = self.made(root)
        assert [dict(made.read(each)) for each in messages[::-1]][::-1] == first

    def test_the_types_it_names_are_types(self, root: Path) -> None:
        from payoff.execute.streams.decode import arrow_type

        types = self.made(root).types()
        for thing in self.objects():
            assert not types or thing.keys() >= types.keys()
        for kind in types.values():
            assert arrow_type(kind) is not None

    def test_whatever_bytes_come_they_are_an_object_or_unreadable_and_the_reason_holds_none_of_them(
        self, root: Path
    ) -> None:
        made, chance = self.made(root), random.Random(7)  # noqa: S311 - chance, no secret
        good = [self.message(thing) for thing in self.objects()]
        for _ in range(3000):
            message = bytearray(chance.choice(good))
            for _ in range(chance.randrange(4)):
                place = chance.randrange(len(message) + 1)
                message[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
            found, reason = _read(made, bytes(message))
            assert reason is None or (reason and MARKED not in reason)
            assert all(isinstance(name, str) for name in found)

    def test_nothing_is_unreadable(self, root: Path) -> None:
        for value in (b"", b"\x00", self.message(self.objects()[0])[:-1]):
            with pytest.raises(Unreadable):
                self.made(root).read(value)

    def test_it_says_what_it_is_and_no_secret(self, root: Path) -> None:
        told = self.made(root).describe()
        assert told["format"] == self.adapter.partition(":")[2]
        assert MARKED not in json.dumps(told)

    def test_a_schema_that_is_not_there_is_the_users(self, root: Path) -> None:
        options = {
            name: f"{value}x" if name == "schema" and value else value for name, value in self.options(root).items()
        }
        if options != self.options(root):
            with pytest.raises(PayoffError):
                connect(self.adapter, "t", root, options).types()


def _read(made: Format, message: bytes) -> tuple[Mapping[str, Any], str | None]:
    try:
        return made.read(message), None
    except Unreadable as error:
        return {}, str(error)
