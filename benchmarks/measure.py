"""Ratios measured side by side in one run: A B A B ..., medians of pairs, so that a slow or busy machine matters less."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """`ours` and `base` are seconds (medians); `ratio` is the median of the pairs' ratios, `worst` their 95th percentile."""

    name: str
    ours: float
    base: float
    ratio: float
    worst: float
    aim: float
    against: str

    def __str__(self) -> str:
        mark = "ok  " if self.ratio <= self.aim else "MISS"
        return (
            f"{mark} {self.name:<44} {self.ratio:6.3g}x (aim {self.aim:g}x, p95 {self.worst:.3g}x) "
            f"{self.ours * 1000:9.1f} ms against {self.base * 1000:9.1f} ms: {self.against}"
        )


def command(*words: str, cwd: str | None = None, env: dict[str, str] | None = None) -> Callable[[], float]:
    """A whole process as something to time; it must succeed."""

    def once() -> float:
        start = time.perf_counter()
        done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"{' '.join(words)} failed:\n{done.stdout.decode()}\n{done.stderr.decode()}")
        return seconds

    return once


def pair(  # noqa: PLR0913 - a measurement in its parts
    name: str,
    ours: Callable[[], float],
    base: Callable[[], float],
    *,
    aim: float,
    against: str,
    pairs: int = 9,
    warm_up: int = 1,
) -> Ratio:
    """Time both in turn; the warm-up rounds are not counted."""
    for _ in range(warm_up):
        ours()
        base()
    a, b = [], []
    for _ in range(pairs):
        a.append(ours())
        b.append(base())
    ratios = sorted(x / y for x, y in zip(a, b, strict=True))
    return Ratio(
        name=name,
        ours=statistics.median(a),
        base=statistics.median(b),
        ratio=statistics.median(ratios),
        worst=ratios[min(len(ratios) - 1, int(0.95 * len(ratios)))],
        aim=aim,
        against=against,
    )


def machine() -> str:
    """What these figures were measured on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors, Python {platform.python_version()}, "
        f"commit {commit.stdout.strip() or 'unknown'}"
    )
