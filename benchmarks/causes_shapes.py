"""Planted causes of other shapes than `causes.py` has, in a project with more steps: `python benchmarks/causes_shapes.py [CASE ...] [--keep DIR]`.

The wine data of scikit-learn; two queries, a table step and a model without a library; helpers two modules deep. One A, and for each case a B of it with the same
decoys: packages, a query's layout, a function nobody calls, a seed that nothing draws from, a text, a file that nobody reads. Exits 1 when a case is not named rightly.
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

from causes import CHARTER, OLD, PAYOFF, UV, Place

PACKAGES = {name: OLD[name] for name in ("numpy", "pandas", "pyarrow", "python-dateutil", "pytz", "tzdata")}
PIPELINE = '''\
"""Which bottles are looked at by an expert."""

import numpy as np
import pandas as pd

from cellar import Rule, scaling
from payoff import log_metric, step


@step(seed=1)
def means(train: pd.DataFrame) -> pd.DataFrame:
    return train.groupby("shelf", as_index=False)[["alcohol", "ash"]].mean()


@step(seed=2)
def model(train: pd.DataFrame, means: pd.DataFrame, *, steep: float = 2.0):
    known = scaling.scale(train[["alcohol", "ash", "hue", "proline"]])
    weights = np.linalg.lstsq(known.to_numpy(), train["malignant"].to_numpy(dtype=float), rcond=None)[0]
    log_metric("score", float(np.abs(weights).sum() * steep + Rule.cut + means["ash"].sum()))
    return Rule(list(known.columns), weights.tolist(), steep)
'''
CELLAR = """\
import numpy as np

from cellar import scaling


class Rule:
    classes_ = [False, True]
    cut = 0.5

    def __init__(self, names, weights, steep):
        self.names, self.weights, self.steep = names, weights, steep

    def predict_proba(self, rows):
        known = scaling.scale(rows[self.names]).to_numpy()
        chance = 1 / (1 + np.exp(-self.steep * (known @ np.array(self.weights) - self.cut)))
        return np.stack([1 - chance, chance], axis=1)
"""
SCALING = """\
import json

from cellar.inner import maths

FLOOR = 0.1


def unused(rows):
    return rows * 2


def scale(rows):
    most = json.load(open("settings/limits.json"))["most"]
    return rows.apply(maths.squeeze).clip(lower=FLOOR, upper=most)
"""
MATHS = """\
import numpy as np


def _level(column):
    return (column - column.min()) / (column.max() - column.min())


def squeeze(column):
    if (column < -1e6).any():
        raise ValueError("a measurement cannot be so low")
    return np.sqrt(_level(column))
"""
BOTTLES = (
    "select id, malignant, shelf, alcohol, hue, proline, coalesce(ash, 2.0) as ash from wines where alcohol > 11\n"
)
TOML = (
    '[project]\nname = "wines"\n[sources.wines]\nkind = "files"\npath = "data/wines.csv"\n[tracking]\nenabled = false\n'
)


class Case(NamedTuple):
    """`edits` are (file, old, new), `cause` the (kind, part of the name), empty where there is none."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    cause: tuple[str, ...]
    metric: str = "score"


CASES = (
    Case("a query's default", (("sql/bottles.sql", "coalesce(ash, 2.0)", "coalesce(ash, 3.0)"),), ("code", "sql/bottles.sql")),
    Case("a query's filter", (("sql/bottles.sql", "> 11", "> 12"),), ("code", "sql/bottles.sql")),
    Case("a helper two modules down", (("cellar/inner/maths.py", "column.max() - column.min()", "column.max() - column.min() + 1"),), ("code", "_level")),
    Case("a class attribute", (("cellar/__init__.py", "cut = 0.5", "cut = 0.4"),), ("code", "Rule")),
    Case("a constant", (("cellar/scaling.py", "FLOOR = 0.1", "FLOOR = 0.2"),), ("code", "FLOOR")),
    Case("a table step", (("pipeline.py", "].mean()", "].median()"),), ("code", "means")),
    Case("a row that one function does not take", (("data/wines.csv", "\n3,", "\n3,"),), ("data", "wines"), metric="gain"),
    Case("an exception", (("cellar/inner/maths.py", "column < -1e6", "column < 1e6"),), ("code", "squeeze")),
    Case("a parameter", (("pipeline.py", "steep: float = 2.0", "steep: float = 2.5"),), ("parameter", "steep")),
    Case("nothing", (), ()),
    # The last: `payoff run` itself does not look at such files, and would reuse what was made with this one.
    Case("a file that a step reads", (("settings/limits.json", "0.9", "0.8"),), ("code", "settings/limits.json")),
)  # fmt: skip


class Wines(Place):
    """A project with one run, and what is made of it for each case."""

    def _data(self) -> None:
        code = (
            "import sys; from sklearn.datasets import load_wine as l; d = l(as_frame=True); f = d.data; f['malignant'] = d.target == 0;"
            "f.insert(0, 'id', range(len(f))); f['shelf'] = f['id'] % 7; f.loc[f['id'] % 5 == 0, 'ash'] = None; f.to_csv(sys.argv[1], index=False)"
        )
        words = [UV, "run", "-q", "--no-project", "--with", "scikit-learn==1.5.0", "--with", "numpy==1.26.3", "--with",
                 "pandas==2.2.1", "python", "-c", code, str(self.root / "data/wines.csv")]  # fmt: skip
        subprocess.run(words, check=True, cwd=self.root)

    def make(self) -> None:
        self.packages = dict(PACKAGES)
        super().make()
        (self.root / "features.py").unlink()
        for folder in ("cellar/inner", "settings"):
            (self.root / folder).mkdir(parents=True)
        for file, text in (
            ("payoff.toml", TOML), ("charter.toml", CHARTER), ("sql/bottles.sql", BOTTLES), ("sql/examples.sql", "select * from bottles\n"),
            ("pipeline.py", PIPELINE), ("cellar/__init__.py", CELLAR), ("cellar/scaling.py", SCALING), ("cellar/inner/__init__.py", ""),
            ("cellar/inner/maths.py", MATHS), ("settings/limits.json", '{"most": 0.9}\n'), ("settings/other.json", "{}\n"),
        ):  # fmt: skip
            self.write(file, text)
        self.commit("A")

    def plant(self, case: Case) -> None:
        """B: the decoys and the cause."""
        subprocess.run(
            ["git", "checkout", "-q", "-B", case.name.replace(" ", "-").replace("'", ""), "main"],
            cwd=self.root,
            check=True,
        )
        self.packages = dict(PACKAGES)
        self.lock(pytz="2024.2", tzdata="2024.2", python_dateutil="2.9.0.post0")
        self.swap("cellar/scaling.py", "rows * 2", "rows * 3")
        self.swap("sql/examples.sql", "select *", "SELECT   *")
        self.swap("pipeline.py", "seed=1", "seed=3")
        self.write("settings/other.json", '{"x": 1}\n')
        self.write("README.md", "Wines.\n")
        for file, old, new in case.edits:
            if file.startswith("data/"):
                lines = (self.root / file).read_text().splitlines()
                values = lines[8].split(",")
                values[lines[0].split(",").index("hue")] = "-10000000"
                lines[8] = ",".join(values)
                self.write(file, "\n".join(lines) + "\n")
            else:
                self.swap(file, old, new)
        self.commit(case.name)


def try_one(place: Wines, a: str, took_a: float, case: Case) -> bool:
    """Plant, run, ask; prints a line."""
    place.plant(case)
    b, took_b = place.run(None)
    began = time.perf_counter()
    words = [PAYOFF, "why", a, b, "--metric", case.metric, "--json"]
    done = subprocess.run(words, cwd=place.root, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    answer = json.loads(done.stdout)
    if "verdict" not in answer:
        sys.stdout.write(f"{case.name:40} {done.stdout[:2000]} {done.stderr[-2000:]}\n")
        return False
    found = [(each["kind"], each["name"]) for each in answer["causes"]]
    right = len(found) == bool(case.cause) and all(
        kind == case.cause[0] and case.cause[1] in name for kind, name in found
    )
    right = right and answer["verdict"] == ("explained" if case.cause else "no-difference")
    one = (took_a + took_b) / 2
    sys.stdout.write(
        f"{case.name:40} {'right' if right else 'WRONG':6} {answer['verdict']:14} {', '.join(f'{k} {n}' for k, n in found) or '-':36}"
        f" {answer['executions']:3} of {answer['bound']:3}, {len(answer['factors']):3} factors  {took:6.1f} s = {took / (answer['executions'] * one):.2f} x"
        f" executions x one run {'' if right else answer.get('reason')}\n"
    )
    sys.stdout.flush()
    return right


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Wines((options.keep or Path(folder)) / "wines")
        place.make()
        a, took = place.run(None)
        results = [try_one(place, a, took, case) for case in CASES if case.name in options.cases]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
