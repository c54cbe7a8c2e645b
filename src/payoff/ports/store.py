"""Where artifacts are kept: immutable, named by content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.artifact import Artifact, Identity


class Erasing(Protocol):
    """What a store also does that can forget."""

    def erase(self, artifact: Artifact) -> int:
        """Remove an artifact for good; answers the bytes that it took (0: it was gone already). Others read it to its end where they have it open.

        Raises `OutsideError` when it cannot be removed.
        """
        ...


class Store(Protocol):
    """Content-addressed files. Safe for several processes at once; a kill at any moment leaves only whole artifacts."""

    def scratch(self, name: str) -> Path:
        """A path (no file yet) on the store's own file system, for something to be written and then `put`."""
        ...

    def put_table(self, file: Path, identity: Identity) -> Artifact:
        """Take over a finished Arrow IPC file (moved, or dropped when the content is there already)."""
        ...

    def put_object(self, file: Path, python_type: str) -> Artifact:
        """Take over a finished pickle; its bytes are hashed, never opened."""
        ...

    def path(self, artifact: Artifact) -> Path:
        """The absolute path of an artifact; `OutsideError` when it is gone or damaged in size."""
        ...

    def has(self, artifact: Artifact) -> bool:
        """True when the artifact can be read."""
        ...
