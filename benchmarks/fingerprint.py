"""What it costs a step to say what was really loaded, against starting its interpreter: `python benchmarks/fingerprint.py`.

Each capture is the first one of a forked process that did the imports of such a step, as in a sandbox. The interpreter is started bare (`python -s -c pass`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import measure

import payoff

WORKER = Path(payoff.__file__).parent / "worker"
STEPS = {
    "a step of plain Python": (),
    "a step with NumPy": ("numpy",),
    "a step with pandas and scikit-learn": ("pandas", "pyarrow", "sklearn.linear_model"),
}
CAPTURE = """
import ctypes, hashlib, importlib.util, json, os, sys, time
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location("_payoff_worker", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["_payoff_worker"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from _payoff_worker import fingerprints
for line in sys.stdin:
    read, write = os.pipe()
    if os.fork() == 0:
        for name in sys.argv[2:]:
            __import__(name)
        began = time.perf_counter()
        told = fingerprints.fingerprint({"seed": 1})
        os.write(write, f"{time.perf_counter() - began} {len(json.dumps(told))}\\n".encode())
        os._exit(0)
    os.close(write)
    with open(read) as answer:
        print(answer.read(), end="", flush=True)
    os.wait()
"""


class Captures:
    """A process that forks one that imports what a step imports and captures, whenever it is asked."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.size = 0
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-c", CAPTURE, str(WORKER), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def once(self) -> float:
        """Seconds of one capture."""
        if self.process.stdin is None or self.process.stdout is None:
            sys.exit("no pipes")
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        seconds, size = self.process.stdout.readline().split()
        self.size = int(size)
        return float(seconds)

    def end(self) -> None:
        """Close its input and wait for it."""
        self.process.communicate()


def main() -> int:
    """Print the ratios."""
    start: Callable[[], float] = measure.command(sys.executable, "-s", "-c", "pass")
    print(measure.machine())
    missed = 0
    for name, modules in STEPS.items():
        captures = Captures(modules)
        ratio = measure.pair(name, captures.once, start, aim=1.0, against="starting the interpreter", pairs=9)
        captures.end()
        print(f"{ratio}; {captures.size} bytes")
        missed += ratio.ratio > ratio.aim
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
