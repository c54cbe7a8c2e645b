"""Payoff's public Python API: what a project's own code may use. Imports nothing but the standard library.

from payoff import step, columns, log_metric, as_of, facts
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes as long to import as Python to start; `payoff --version` passes through here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["__version__", "as_of", "columns", "facts", "log_metric", "step"]
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


class as_of:  # noqa: N801 - reads like the declaration it is: priced = as_of("orders", at="ordered_at", prices=facts(...))
    """Declare a table in which each row has what was known at its own time: `NAME = as_of("orders", at="ordered_at", prices=facts(...))`.

    At the top of the pipeline's file; steps take the table by NAME. `rows` is the table whose rows these are, `at` the column with their own time, each further argument a table of facts.
    What is given is written out (it is read without running it), and means what `[joins.NAME]` in payoff.toml means.
    """

    def __init__(self, rows: str, /, *, at: str, **tables: facts) -> None:
        self.rows, self.at, self.tables = rows, at, tables


class facts:  # noqa: N801 - as above
    """In `as_of`: how a table of facts belongs to the rows, and which of its columns are taken.

    `by`: the columns by which a fact belongs to a row, `["product_id"]` or `["product_id = id"]` where their names differ (none: one history for all rows). `valid`: the column with the time from which a fact
    holds; `known`: with the time at which it arrived (default: when it begins to hold). `within`: the greatest age, as "30 days". `columns`: those taken over, each under `prefix` + its name.
    """

    def __init__(
        self,
        *,
        valid: str,
        columns: Sequence[str],
        by: Sequence[str] = (),
        known: str = "",
        within: str = "",
        prefix: str = "",
    ) -> None:
        self.by, self.valid, self.known, self.within = tuple(by), valid, known, within
        self.columns, self.prefix = tuple(columns), prefix


def log_metric(name: str, value: float) -> None:
    """Record a number of this step's run: shown by `payoff show`, the report and the tracker."""
    if not isinstance(name, str) or not name:
        raise TypeError("log_metric takes a name (text) and a number")
    _metrics[name] = float(value)
