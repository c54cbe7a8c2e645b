"""Where messages come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from payoff.records.stream import Batch, Positions


class Stream(Protocol):
    """A log of messages outside, in one or more partitions that only grow at their end.

    Made by wiring from the adapter's `Options`; a connection is opened when a method needs it, kept from call to call, and ended by `close`,
    after which the next call opens another. Methods may be called from any thread, one at a time. Nothing is acknowledged to the broker and no
    place is kept there: the caller says from where to read. Failures are `UserError` (the address, the credentials or the stream's name are wrong) or
    `OutsideError` (`may_retry`: the broker may come back). No message holds a data value or a secret.
    """

    def end(self) -> Positions:
        """Where the stream ends now: what a `read` answers with that has read everything."""
        ...

    def read(self, positions: Positions, until: Positions, limit: int, size: int, seconds: float) -> Batch:
        """Messages after `positions` (a partition that is not in it: from the oldest there is) and not beyond `until`.

        At most `limit` of them, and no further ones once they have `size` bytes. Waits up to `seconds` for the first. Nothing may be left out
        silently: what the broker no longer has is in `lost`, and so is a stream that ends before `positions` (it was made anew; it is read
        from its beginning then). A partition of which more was read than `until` says stays where it is.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """`kind`, `address` (without secrets) and `stream`, its name there."""
        ...

    def close(self) -> None:
        """End the connection; does nothing when there is none."""
        ...
