"""Environments that are neither that of one run nor that of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Mixer(Protocol):
    """Makes locks with chosen versions, and knows which versions there are."""

    def mix(self, first: Path, second: Path, versions: Mapping[str, str], folder: Path, *, asked: bool = True) -> str:
        """Write a project (pyproject.toml and lock) to `folder` that has exactly the packages of `versions` (name -> version).

        `first` and `second` are the folders of the two locks that the versions come from: where packages come from is taken from the first. Not `asked`: nothing else
        is, what is to be in the environment is what the second asks for. Answers why
        there is no such environment, in one line; an empty text: it was made. What is made of the same is made once.
        Raises `OutsideError` when no package index can be reached that had to be asked.
        """
        ...

    def versions(self, name: str, after: str, upto: str, folder: Path) -> tuple[str, ...]:
        """The versions published after one and up to another, ascending; pre-releases and yanked ones are left out, `upto` is the last.

        `folder` is a project: its package indexes are asked.
        """
        ...

    def lock(self, folder: Path, *, upgrade: bool = False, packages: Sequence[str] = ()) -> str:
        """Make a project's lock say what its pyproject.toml asks for; what is locked stays where it can, unless `upgrade` (everything) or `packages` ask for newer.

        Answers why there is no such lock, in one line; an empty text: it is made. Raises `OutsideError` when no package index can be reached that had to be asked.
        """
        ...
