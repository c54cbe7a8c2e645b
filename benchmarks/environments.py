"""Environments as ratios measured side by side in one run: `python benchmarks/environments.py [PAIRS]`.

A hybrid of two locks (its lock worked out, its packages installed, a Python begun in it) against `uv sync` of a lock that is there; the project's own environment made
again against the same; removing environments against `rm -r`; and what several environments take on the disk. Wheels are in uv's cache.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measure
import uv

PACKAGES = {"numpy": ("2.2.6", "2.3.5"), "pandas": ("2.2.3", "2.3.3"), "scipy": ("1.15.3", "1.16.3")}
KEPT = 5  # environments on the disk together


def project(folder: Path, which: int) -> Path:
    """A locked project with one of the two versions of each package."""
    folder.mkdir(parents=True)
    pins = [f"{name}=={versions[which]}" for name, versions in PACKAGES.items()]
    asked = ", ".join(f'"{each}"' for each in (*pins, "pyarrow>=18", "scikit-learn>=1.5"))
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "bench"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = [{asked}]\n[tool.uv]\npackage = false\n'
    )
    (folder / "payoff.toml").write_text('[project]\nname = "bench"\n')
    subprocess.run([uv.find_uv_bin(), "lock", "--quiet", "--project", str(folder)], check=True)
    return folder


def synced(root: Path) -> Callable[[], float]:
    """What a user would do: `uv sync` into a new folder."""

    def once() -> float:
        shutil.rmtree(root / ".venv", ignore_errors=True)
        return measure.command(uv.find_uv_bin(), "sync", "--quiet", "--frozen", cwd=str(root))()

    return once


def hybrids(a: Path, b: Path) -> Callable[[], float]:
    """An environment with some versions of each, never the same folder twice."""
    from payoff.flows.environments import known
    from payoff.project.past import locks
    from payoff.wiring import assemble

    (like,) = known.environments(a)
    number = itertools.count()

    def once() -> float:
        shutil.rmtree(a / ".payoff/environments", ignore_errors=True)
        mixed = locks.versions(a / "uv.lock") | {"pandas": PACKAGES["pandas"][1]}
        mixed.pop("bench", None)
        folder = a / ".payoff/mixes" / str(next(number))
        executor = assemble.executor(a)
        start = time.perf_counter()
        reason = assemble.mixer(a).mix(a, b, mixed, folder)
        made = locks.locked(folder, like)
        if reason or made is None:
            sys.exit(f"there is no such environment: {reason}")
        executor.prepare(made, lambda _line: None)
        seconds = time.perf_counter() - start
        executor.close()
        return seconds

    return once


def again(root: Path) -> Callable[[], float]:
    """The project's own environment, made when it is not there."""
    from payoff.flows.environments import known
    from payoff.wiring import assemble

    (own,) = known.environments(root)

    def once() -> float:
        shutil.rmtree(root / ".payoff/environments", ignore_errors=True)
        executor = assemble.executor(root)
        start = time.perf_counter()
        executor.prepare(own, lambda _line: None)
        seconds = time.perf_counter() - start
        executor.close()
        return seconds

    return once


def fill(root: Path) -> Path:
    """Environments that nobody needs, as links to the one that is there."""
    folder = root / ".payoff/environments"
    (own,) = (each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("old"))
    for number in range(KEPT - 1):
        old = Path(shutil.copytree(own, folder / f"old{number}", symlinks=True, copy_function=os.link))
        (old / "payoff-ready").unlink()
        (old / "payoff-ready").write_text("{}")
        os.utime(old / "payoff-ready", (0, 0))
    return folder


def collected(root: Path) -> Callable[[], float]:
    """What `payoff environments collect` does, after which one is left: look at all, remove each under its lock."""
    from payoff.flows.environments import known

    def once() -> float:
        fill(root)
        keeper = known.keeper(root)
        start = time.perf_counter()
        for each in keeper.kept():
            if each.digest.startswith("old"):
                keeper.discard(each.digest)
        return time.perf_counter() - start

    return once


def removed(root: Path) -> Callable[[], float]:
    """The same by hand."""

    def once() -> float:
        folder = fill(root)
        return measure.command("rm", "-r", *(str(folder / f"old{number}") for number in range(KEPT - 1)))()

    return once


def main() -> int:
    """Print the ratios."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        a, b = (project(Path(folder) / name, which) for which, name in enumerate(("a", "b")))
        for root in (a, b):
            synced(root)()  # wheels come into the cache
        name, against = "hybrid of two locks, ready to run", "uv sync of a lock, wheels cached"
        ratios = [
            measure.pair(name, hybrids(a, b), synced(a), aim=2, against=against, pairs=pairs),
            measure.pair("own environment, ready to run", again(a), synced(a), aim=1.5, against=against, pairs=pairs),
            measure.pair(
                f"{KEPT - 1} of {KEPT} environments removed",
                collected(a),
                removed(a),
                aim=2,
                against="rm -r",
                pairs=pairs,
            ),
        ]
        from payoff.flows.environments import known

        fill(a)
        kept = known.keeper(a).kept()
        alone, together = max(each.bytes for each in kept), sum(each.own_bytes for each in kept)
    print(measure.machine())
    for ratio in ratios:
        print(ratio)
    print(
        f"{len(kept)} environments with the same packages take {together / alone:.3g} times what one takes ({alone:,} bytes)"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
