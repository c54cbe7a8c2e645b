"""Where artifacts are kept: immutable, named by content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.artifact import Artifact, Identity


class Erasing(Protocol):
    """What a store also does that can forget."""

    def erase(self, artifact: Artifact, why: str) -> int:
        """Remove an artifact for good; answers the bytes that it took (0: it was gone already). Others read it to its end where they have it open.

        `why` is kept in its place before it goes. Raises `OutsideError` when it cannot be removed.
        """
        ...

    def gone(self, artifact: Artifact) -> str:
        """Why it was erased; empty where it was not, or is there again."""
        ...


def was(store: Store, artifact: Artifact) -> str:
    """What became of an artifact that is not there, of any store: one that does not erase knows of nothing that it erased."""
    ask = getattr(store, "gone", None)
    why = str(ask(artifact)) if ask is not None else ""
    return f"was {why}" if why else "is no longer in the store"


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
