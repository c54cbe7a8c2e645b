"""What runs a release: a process, a container, a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from payoff.ports.releasing.registry import Registry


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What runs: `image` is the digest of what was really started; `address` answers HTTP; `ready` when its model said so, with that digest."""

    image: str
    address: str
    ready: bool


class Deployer(Protocol):
    """One deployment. Not thread-safe: one caller. What it runs outlives the program that started it."""

    def state(self) -> Running | None:
        """What runs now; None when nothing does."""
        ...

    def apply(self, image: str, registry: Registry) -> Running:
        """Run an image by its digest, taken from a registry, in the place of what runs; answers when it is ready. Nothing is done where that very
        image runs already. Raises `OutsideError` when it does not start, and leaves running what ran before.
        """
        ...

    def stop(self) -> None:
        """Run nothing any more; idempotent."""
        ...
