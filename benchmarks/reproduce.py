"""`payoff reproduce` as ratios measured side by side in one run: `python benchmarks/reproduce.py [TEMPLATE]`.

Against `payoff run --force`, which executes the same stages in place; and what it costs a run to keep what it was made of, against git itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measure

PAYOFF = str(Path(sys.executable).with_name("payoff"))
QUIET = {**os.environ, "PAYOFF_NO_PROGRESS": "1"}


def keeping(root: Path, *, dirty: bool) -> Callable[[], float]:
    """What a run spends on the ref: starting git at its beginning, waiting for it at its end (the run's own work lies between)."""
    from payoff.project import worktree
    from payoff.project.git import Keeping
    from payoff.records.project import Git

    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    found = Git(commit=commit, branch="main", dirty=dirty, tree=worktree.snapshot(root) if dirty else None)
    number = iter(range(1_000_000))

    def once() -> float:
        start = time.perf_counter()
        Keeping(root, found, f"benchmark-{next(number)}").finish()
        return time.perf_counter() - start

    return once


def main() -> int:
    """Print the ratios."""
    template = sys.argv[1] if len(sys.argv) > 1 else "bank"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        subprocess.run([PAYOFF, "init", str(root), "--template", template], check=True, capture_output=True)
        subprocess.run([PAYOFF, "run"], cwd=root, check=False, capture_output=True)
        where = str(root)
        ratios = [
            measure.pair(
                f"payoff reproduce, {template}",
                measure.command(PAYOFF, "reproduce", cwd=where, env=QUIET),
                measure.command(PAYOFF, "run", "--force", cwd=where, env=QUIET),
                aim=1.5,
                against="payoff run --force",
                pairs=3,
            )
        ]
        git = measure.command("git", "-C", where, "rev-parse", "HEAD")
        for dirty in (False, True):
            words = "uncommitted tree" if dirty else "commit"
            ratios.append(
                measure.pair(
                    f"keeping a run's {words}",
                    keeping(root, dirty=dirty),
                    git,
                    aim=4,
                    against="git rev-parse",
                    pairs=21,
                )
            )
    sys.stdout.write("".join(f"{ratio}\n" for ratio in ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main())
