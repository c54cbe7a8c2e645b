"""Two locked TensorFlows, two results: `payoff why` has to name the package: `python benchmarks/causes_tensorflow.py [CASE ...] [--keep DIR]`.

The same small Keras net on the breast cancer data, on Python 3.11, with seeds and switches set; two environments that differ in TensorFlow or
Keras and, as decoys, in five more packages and the wording of a helper. What was found by hand, everything else equal (sum of the predictions):

    tensorflow-cpu 2.16.2, 2.17.0 and later, keras 3.10.0    791.468753, 791.468734    every net tried differs in the eighth digit
    tensorflow-cpu 2.17.1, keras 3.6.0, 3.7.0 and later      791.468732, 791.468734    likewise, but for an LSTM
    tensorflow-cpu 2.17.1, 2.18.1, keras 3.10.0              equal to the last bit

The wheels are about 0.25 GB for each version of TensorFlow, the first time. `--runs` makes the two runs of each case and compares their metric,
without asking `payoff why`. Exits 1 when a case is not named rightly.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import causes

PACKAGES = {"keras": "3.10.0", "numpy": "1.26.3", "pandas": "2.2.1", "pyarrow": "18.0.0", "python-dateutil": "2.8.2", "pytz": "2024.1", "tzdata": "2024.1"}  # fmt: skip
DECOYS = {"numpy": "1.26.4", "pandas": "2.2.3", "pyarrow": "18.1.0", "python-dateutil": "2.9.0.post0", "pytz": "2024.2"}

PIPELINE = '''\
"""A tumour is sent to biopsy where that is worth it."""

import pandas as pd

import features
from payoff import log_metric, step


@step(seed=7, threads=1)
def model(train: pd.DataFrame, *, epochs: int = 12):
    import keras

    rows = features.known(train).to_numpy(dtype="float32")
    scale = keras.layers.Normalization()
    scale.adapt(rows)
    net = keras.Sequential([
        keras.Input((rows.shape[1],)), scale, keras.layers.BatchNormalization(), keras.layers.Dense(16, "relu"),
        keras.layers.LayerNormalization(), keras.layers.Dense(1, "sigmoid"),
    ])
    net.compile(keras.optimizers.AdamW(0.01), "binary_crossentropy")
    net.fit(rows, train["malignant"].to_numpy(dtype="float32"), epochs=epochs, batch_size=64, verbose=0)
    log_metric("score", float(net.predict(rows, verbose=0).astype("float64").sum()))
    return net
'''
FEATURES = '''\
"""What the model may know."""


def known(rows):
    return rows.drop(columns=["id", "malignant"])


def shown(rows):
    return f"{len(rows)} rows"
'''


class Case(NamedTuple):
    """What is locked besides in A and in B, and the (package, first version that changes the result) to be named."""

    name: str
    a: dict[str, str]
    b: dict[str, str]
    causes: tuple[tuple[str, str], ...]


CASES = (
    Case("tensorflow", {"tensorflow-cpu": "2.16.2"}, {"tensorflow-cpu": "2.17.1"}, (("tensorflow", "2.17.0"),)),
    Case(
        "keras",
        {"tensorflow-cpu": "2.17.1", "keras": "3.6.0"},
        {"tensorflow-cpu": "2.17.1", "keras": "3.8.0"},
        (("keras", "3.7.0"),),
    ),
    Case(
        "both",
        {"tensorflow-cpu": "2.16.2", "keras": "3.6.0"},
        {"tensorflow-cpu": "2.17.1", "keras": "3.8.0"},
        (("tensorflow", "2.17.0"), ("keras", "3.7.0")),
    ),
    Case(
        "none", {"tensorflow-cpu": "2.17.1"}, {"tensorflow-cpu": "2.18.0"}, ()
    ),  # 2.18.1 cannot be locked for all platforms
)


class Place(causes.Place):
    """The project of causes.py with a net in it."""

    def __init__(self, root: Path, packages: dict[str, str]) -> None:
        super().__init__(root)
        self.packages = PACKAGES | packages

    def write(self, file: str, text: str) -> None:
        texts = {"pipeline.py": PIPELINE, "features.py": FEATURES} if not (self.root / file).exists() else {}
        super().write(file, texts.get(file, text))


def plant(case: Case, root: Path) -> tuple[list[str], list[float]]:
    """Make A and B and run both; their names, and how long each took in seconds."""
    place = Place(root, case.a)
    place.make()
    a, took_a = place.run(None)
    place.lock(**{name.replace("-", "_"): version for name, version in (DECOYS | case.b).items()})
    place.swap("features.py", '{len(rows)} rows"', '{len(rows)} rows in all"')
    place.commit("B")
    b, took_b = place.run(None)
    return [a, b], [took_a, took_b]


def metric(root: Path, run: str) -> float:
    """The sum of the net's predictions in a run."""
    done = subprocess.run([causes.PAYOFF, "show", run, "--json"], cwd=root, capture_output=True, text=True, check=False)
    steps = json.loads(done.stdout)["steps"]
    return float(next(each["metrics"]["score"] for each in steps if each["name"] == "model"))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def runs_only(case: Case, root: Path) -> bool:
    """Whether the two runs differ where a cause is planted, and only there."""
    runs, took = plant(case, root)
    a, b = (metric(root, run) for run in runs)
    right = (a != b) == bool(case.causes)
    say(f"{case.name:12} {'right' if right else 'WRONG':6} {a!r} {b!r}  runs of {took[0]:.0f} and {took[1]:.0f} s")
    return right


def try_one(case: Case, root: Path) -> bool:
    """Plant, run twice, ask; prints a line."""
    runs, took = plant(case, root)
    began = time.perf_counter()
    words = [causes.PAYOFF, "why", *runs, "--metric", "score", "--json"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    try:
        answer = json.loads(done.stdout)
        verdict, found = (
            answer["verdict"],
            [(each["kind"], each["name"], each.get("first_changed")) for each in answer["causes"]],
        )
    except (ValueError, KeyError):
        say(f"{case.name:12} WRONG  no answer: {done.stdout[-1500:]} {done.stderr[-1500:]}")
        return False
    right = verdict == ("explained" if case.causes else "no-difference") and len(found) == len(case.causes)
    right = right and all(
        any(kind == "package" and part in name and since == first for kind, name, since in found)
        for part, first in case.causes
    )
    named = ", ".join(f"{kind} {name} since {since}" for kind, name, since in found) or "-"
    say(
        f"{case.name:12} {'right' if right else 'WRONG':6} {verdict:14} {named:60} {answer['executions']:3} of {answer['bound']:3}"
        f"  {seconds:6.1f} s = {seconds / sum(took):.1f} x the two runs"
    )
    return right


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--runs", action="store_true")
    options = parser.parse_args()
    judge = runs_only if options.runs else try_one
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        results = [judge(case, place / case.name) for case in CASES if case.name in options.cases]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
