"""What runs user code: sandboxes made from uv locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.records.project import Environment
    from payoff.records.task import Task, TaskResult


class Executor(Protocol):
    """Runs tasks in processes apart from this one. Not thread-safe: one caller.

    After `close` nothing it started is running, whatever happened before (also on an exception or ctrl-C).
    """

    def prepare(
        self, environment: Environment, tell: Callable[[str], None], soon: Task | None = None, *, hint: bool = False
    ) -> dict[str, Any]:
        """Make the environment real (download, link) and start its server, if that was not done before; idempotent.

        `tell` hears progress. `soon` is a task that will probably be submitted later under the same id: a hint to get ready for it, its
        inputs and output are not known yet; nothing is answered for it. Answers facts of the sandbox (its folder). With `hint`, the environment itself is only probably needed: what
        is there may be started, nothing is made or raised, and the facts may be none. Raises `UserError` when the lock does not match
        pyproject.toml or cannot be installed, `OutsideError` when the package index cannot be reached.
        """
        ...

    def submit(self, task: Task) -> None:
        """Start a task; it runs beside others."""
        ...

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        """Results that came in, waiting up to `seconds` (None: until at least one is there; [] when nothing is under way)."""
        ...

    def cancel(self, task_id: str) -> None:
        """End a task and everything it started; its result says `cancelled`."""
        ...

    def close(self) -> None:
        """End everything."""
        ...
