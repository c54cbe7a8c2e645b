"""What messages of a stream are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Unreadable(Exception):
    """A message that is none of its format. Its text is the reason, and holds nothing of the message."""


class Format(Protocol):
    """Makes an object of each message. Made by wiring from the adapter's `Options` (`schema`, `registry`); nothing is opened before a method is called.

    Methods may be called from any thread, one at a time. The same bytes are the same object, whatever was read before them. Failures that are not the message's are `UserError`
    (a file, an address, a right is wrong) or `OutsideError` (`retryable`); then nothing of the batch has landed, and it is read again.
    """

    def types(self) -> Mapping[str, str]:
        """The fields that the declared schema names, with the names of their Arrow types (`json`: any value, kept as text); none where only messages say what they have."""
        ...

    def read(self, value: bytes) -> Mapping[str, Any]:
        """The object: field -> None, bool, int, float, str, bytes, decimal, date, time, datetime (with a zone: an instant), or lists and mappings of them.

        Raises Unreadable with the reason.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What changes what messages become: the format and its declared schema."""
        ...
