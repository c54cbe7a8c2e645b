"""Payoff's public Python API: what a project's own code may use. Imports nothing but the standard library.

from payoff import step, columns, log_metric
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes as long to import as Python to start; `payoff --version` passes through here
if TYPE_CHECKING:
    from typing import Any

__all__ = ["__version__", "columns", "log_metric", "step"]
__version__ = "0.1.0"

_metrics: dict[str, float] = {}


def step(function: Any = None, /, **settings: Any) -> Any:
    """Make a function a step of the pipeline: `@step`, or `@step(environment="train", seed=7)`.

    Settings (literals, read from the file without running it): `environment` (a name in payoff.toml), `seed` (int), `deterministic`
    (bool), `threads` (int). The function itself is left as it is, so that it can be called and tested like any other.
    """
    if function is not None:
        return function
    return lambda decorated: decorated


class columns:  # noqa: N801 - reads like the annotation it is: Annotated[pd.DataFrame, columns("a", "b")]
    """In an annotation: the columns of an input that the step takes; no others are read for it."""

    def __init__(self, *names: str) -> None:
        self.names = names


def log_metric(name: str, value: float) -> None:
    """Record a number of this step's run: shown by `payoff show`, the report and the tracker."""
    if not isinstance(name, str) or not name:
        raise TypeError("log_metric takes a name (text) and a number")
    _metrics[name] = float(value)
