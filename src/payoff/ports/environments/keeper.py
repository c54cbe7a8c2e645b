"""What is known of the environments that were made, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payoff.records.hybrids.environment import Inspection, Kept, Limits
    from payoff.records.project import Environment


class Keeper(Protocol):
    """What an executor also does that keeps the environments it made. Safe for several processes at once."""

    def kept(self) -> Sequence[Kept]:
        """The environments that are there, also what is left of half-made ones."""
        ...

    def discard(self, digest: str) -> bool:
        """Remove one for good, and make sure that nobody has it in use before; False: somebody does, and it stays."""
        ...

    def inspect(self, environment: Environment) -> Inspection:
        """Hold the lock against its pyproject.toml, and what is installed against the lock. Nothing is changed.

        Without a network, and where that is needed, the answer is that it is not known.
        """
        ...

    def enter(
        self, environment: Environment, command: Sequence[str], limits: Limits, tell: Callable[[str], None]
    ) -> int:
        """Run a command in it, made when it is not there, on the terminal of this process; answers the command's exit code.

        No command: its Python, with the tables as variables. Of this process's environment variables it gets only what a terminal needs. `tell` hears progress, and what of the limits this
        machine does not enforce. Raises what `Executor.prepare` does, and `UserError` when the environment has no such command.
        """
        ...
