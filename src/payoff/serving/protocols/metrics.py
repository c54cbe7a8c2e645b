"""Figures for Prometheus, in its text format (version 0.0.4)."""

from __future__ import annotations

import bisect
import collections
from typing import TYPE_CHECKING

from payoff.base.text import Few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


class Histogram:
    """Counts of values by upper bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def saw(self, value: float) -> None:
        """One more value."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str = "") -> Iterable[str]:
        """Its lines; `labels` as `route="infer"`."""
        total, comma = 0, "," if labels else ""
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            text = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels}{comma}le="{text}"}} {total}'
        braces = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{braces} {self._sum:.9g}"
        yield f"{name}_count{braces} {total}"


class Metrics:
    """What the server counts. `tell` writes a line for whoever watches the server, of which requests that go wrong can cause many."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._few = tell, Few()
        self.requests: collections.Counter[tuple[str, int]] = collections.Counter()
        self.rows: collections.Counter[str] = collections.Counter()
        self.actions: collections.Counter[str] = collections.Counter()
        self.expected = self.squares = self.quantity = 0.0
        self.valued = 0
        self.shed = self.failures = self.faults = self.unlogged = 0
        self._seconds: dict[str, Histogram] = {}
        self._batch_rows, self._batch_requests = Histogram(ROWS), Histogram(ROWS)
        self._model_seconds = Histogram(SECONDS)

    def tell(self, line: str) -> None:
        """What went wrong, if it is not too often."""
        if said := self._few.line(line):
            self._tell(said)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request came to its end."""
        self.requests[route, status] += 1
        found = self._seconds.get(route)
        if found is None:
            found = self._seconds[route] = Histogram(SECONDS)
        found.saw(seconds)

    def batch(self, requests: int, rows: int, seconds: float) -> None:
        """The model answered a batch."""
        self._batch_rows.saw(rows)
        self._batch_requests.saw(requests)
        self._model_seconds.saw(seconds)

    def decided(self, expected: Iterable[float]) -> None:
        """Decisions whose payoff is known: what each is expected to bring."""
        for each in expected:
            self.valued += 1
            self.expected += each
            self.squares += each * each

    def _payoffs(self) -> list[tuple[str, str, float]]:
        # To the last digit: what came between two looks is a small difference of large sums.
        return [
            ("expected_payoff_total", "Expected payoff of all decisions, in the charter's currency.", self.expected),
            ("expected_payoffs_total", "Decisions whose expected payoff is known.", self.valued),
            # With it the spread of payoffs is known, and with that how sure a difference of two releases is.
            (
                "expected_payoff_squares_total",
                "Sum of the squares of the expected payoffs of all decisions.",
                self.squares,
            ),
        ]

    def text(self, gauges: dict[str, tuple[str, float]]) -> bytes:
        """All of it; `gauges` are name -> (help, value) of what is measured now."""
        lines: list[str] = []

        def add(name: str, kind: str, says: str, values: Iterable[str]) -> None:
            lines.append(f"# HELP payoff_{name} {says}")
            lines.append(f"# TYPE payoff_{name} {kind}")
            lines.extend(values)

        add("requests_total", "counter", "Requests that were answered, by route and status.",
            (f'payoff_requests_total{{route="{route}",status="{status}"}} {count}' for (route, status), count in sorted(self.requests.items())))  # fmt: skip
        add("rows_total", "counter", "Rows that were answered, by route.",
            (f'payoff_rows_total{{route="{route}"}} {count}' for route, count in sorted(self.rows.items())))  # fmt: skip
        add("decisions_total", "counter", "Decisions, by action.",
            (f'payoff_decisions_total{{action="{_escaped(action)}"}} {count}' for action, count in sorted(self.actions.items())))  # fmt: skip
        for name, says, value in self._payoffs():
            add(name, "counter", says, [f"payoff_{name} {value!r}"])
        add(
            "refused_values_total",
            "counter",
            "Values that broke a promise.",
            [f"payoff_refused_values_total {self.faults}"],
        )
        add("shed_total", "counter", "Requests sent away because too many waited.", [f"payoff_shed_total {self.shed}"])
        add(
            "model_failures_total",
            "counter",
            "Requests for which the model raised.",
            [f"payoff_model_failures_total {self.failures}"],
        )
        add(
            "unlogged_total",
            "counter",
            "Requests refused because they could not be written to the log.",
            [f"payoff_unlogged_total {self.unlogged}"],
        )
        add("request_seconds", "histogram", "Seconds from a request's first byte to its answer, by route.",
            (line for route, each in sorted(self._seconds.items()) for line in each.lines("payoff_request_seconds", f'route="{route}"')))  # fmt: skip
        add(
            "model_seconds",
            "histogram",
            "Seconds that the model took for a batch.",
            self._model_seconds.lines("payoff_model_seconds"),
        )
        add("batch_rows", "histogram", "Rows of a batch.", self._batch_rows.lines("payoff_batch_rows"))
        add("batch_requests", "histogram", "Requests of a batch.", self._batch_requests.lines("payoff_batch_requests"))
        for name, (says, value) in gauges.items():
            add(name, "counter" if name.endswith("_total") else "gauge", says, [f"payoff_{name} {value:.9g}"])
        return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
