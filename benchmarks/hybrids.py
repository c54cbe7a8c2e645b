"""An environment between two, as ratios measured side by side in one run: `python benchmarks/hybrids.py [PAIRS]`.

What `payoff why` does for a hybrid of two locks (uv finds versions that go together, the lock is checked, the packages are installed) against what anybody does for
an environment that is locked already: `uv sync` into a new folder. Every wheel is in uv's cache, as it is when both runs were made on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import causes
import measure
import uv


def project(folder: Path, packages: dict[str, str]) -> None:
    """A locked project, installed once so that its wheels are cached."""
    folder.mkdir(parents=True)
    pins = "".join(f'    "{name}=={version}",\n' for name, version in packages.items())
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = [\n{pins}]\n[tool.uv]\npackage = false\n'
    )
    subprocess.run([uv.find_uv_bin(), "lock", "-q"], cwd=folder, check=True)
    subprocess.run([uv.find_uv_bin(), "sync", "-q"], cwd=folder, check=True, env=clean())


def clean() -> dict[str, str]:
    """No environment of whoever measures."""
    return {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}}


def main() -> int:
    """Print the ratio."""
    from payoff.adapters.executors.local import sandbox
    from payoff.project.past import locks
    from payoff.records.project import Environment
    from payoff.wiring import assemble

    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as base:
        root = Path(base)
        old, new = causes.OLD, causes.OLD | causes.DECOYS | {"scikit-learn": "1.6.1"}
        project(root / "a", old)
        project(root / "b", new)
        like = Environment(name="default", folder=".", python="", packages={}, digest="")
        ends = [locks.locked(root / name, like) for name in ("a", "b")]
        assert ends[0] is not None
        assert ends[1] is not None
        changed = [name for name in new if old[name] != new[name]]
        mixer, number = assemble.mixer(root), iter(range(1_000_000))

        def hybrid() -> float:
            """Every other package of B, another choice each time."""
            n = next(number)
            taken = {
                name: ends[1].packages[name]
                for at, name in enumerate(changed)
                if (at + n) % 2 or at == n % len(changed)
            }
            wanted, folder = {**ends[0].packages, **taken}, root / "mixed" / str(n)
            began = time.perf_counter()
            reason = mixer.mix(root / "a", root / "b", wanted, folder)
            assert not reason, reason
            made = locks.locked(folder, like)
            assert made is not None
            _, door = sandbox.hold(made, root, root / "environments" / str(n), lambda _line: None)
            seconds = time.perf_counter() - began
            os.close(door)
            return seconds

        def plain() -> float:
            """A's lock, into a folder that is not there yet."""
            place = root / f"venv-{next(number)}"
            words = [uv.find_uv_bin(), "sync", "-q", "--frozen", "--project", str(root / "a")]
            began = time.perf_counter()
            subprocess.run(words, check=True, env={**clean(), "UV_PROJECT_ENVIRONMENT": str(place)})
            seconds = time.perf_counter() - began
            shutil.rmtree(place)
            return seconds

        print(measure.machine())  # noqa: T201 - what a benchmark is for
        ratio = measure.pair(
            "a hybrid environment", hybrid, plain, aim=3, against="uv sync --frozen, wheels cached", pairs=pairs
        )
        print(ratio)  # noqa: T201
    return int(ratio.ratio > ratio.aim)


if __name__ == "__main__":
    sys.exit(main())
