"""Pairs of runs with a planted cause (or none) among decoys; `payoff why` has to name it: `python benchmarks/causes.py [CASE ...] [--keep DIR]`.

Real package versions, the breast cancer data that scikit-learn brings along. Each line: what was planted, what was named, executions
beside the bound for a single cause, and the time against that of the two runs. Exits 1 when a case is not named rightly. Nothing here is
told to `payoff why` but the two runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

PAYOFF = str(Path(sys.executable).with_name("payoff"))
UV = str(Path(sys.executable).with_name("uv"))
OLD = {"scikit-learn": "1.5.0", "numpy": "1.26.3", "scipy": "1.13.0", "pandas": "2.2.1", "joblib": "1.4.0", "pyarrow": "18.0.0",
       "threadpoolctl": "3.4.0", "python-dateutil": "2.8.2", "pytz": "2024.1", "tzdata": "2024.1"}  # fmt: skip
DECOYS = {"numpy": "1.26.4", "scipy": "1.13.1", "pandas": "2.2.3", "joblib": "1.4.2", "pyarrow": "18.1.0", "threadpoolctl": "3.5.0",
          "python-dateutil": "2.9.0.post0", "pytz": "2024.2", "tzdata": "2024.2"}  # fmt: skip

PIPELINE = '''\
"""A tumour is sent to biopsy where that is worth it."""

import numpy as np
import pandas as pd

import features
from payoff import log_metric, step


@step(seed=7{settings})
def model(train: pd.DataFrame, *, alpha: float = 0.0001, epochs: int = 30):
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    known = features.known(train)
    fitted = make_pipeline(
        FunctionTransformer(features.clean), StandardScaler(),
        SGDClassifier(loss="log_loss", alpha=alpha, max_iter=epochs, tol=None, random_state=np.random.randint(1000)),
    ).fit(known, train["malignant"])
    log_metric("score", float(fitted.predict_proba(known)[:, 1].sum()))
    log_metric("sums", features.sums(known))
    return fitted
'''
FEATURES = '''\
"""What the model may know."""

import numpy as np


def known(rows):
    return rows.drop(columns=["id", "malignant"])


def clean(rows):
    return np.log1p(np.abs(rows))


def shown(rows):
    return f"{len(rows)} rows"


def sums(rows):
    """A figure that hangs on how the machine adds up."""
    wide = np.repeat(rows.to_numpy(dtype=np.float32), 40, axis=0)
    left = wide @ wide.T[:, :2000]
    return float((left[:500] * np.float32(1e-3)).astype(np.float64).sum() + float(np.dot(wide.ravel(), wide.ravel()[::-1])))
'''
CHARTER = """\
[objective]
statement = "Find malignant tumours early and send fewer people to a needless biopsy."
owner = "Head of Screening"
[decision]
question = "Who is sent to biopsy?"
examples = "examples"
id = "id"
outcome = { column = "malignant", positive = true, means = "is malignant" }
per_year = 10000
[payoff]
currency = "EUR"
biopsy.malignant = 900
biopsy.else = -100
wait.malignant = -1500
wait.else = 0
[common_solutions]
all = { action = "biopsy" }
none = { action = "wait" }
[split]
by = "hash"
on = "id"
holdout = 0.5
[model]
step = "model"
[costs]
build = 1000
run_per_year = 500
[accept]
confidence = 0.9
min_gain_per_year = 100
"""


class Case(NamedTuple):
    """`change` makes B of A; `causes` are the (kind, part of the name) to be found, any of the alternatives joined by `|`."""

    name: str
    change: Any
    causes: tuple[tuple[str, str], ...]
    first: str = ""
    metric: str = "score"
    variables: tuple[tuple[str, str], tuple[str, str]] | None = None


class Place:
    """A project with its two runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages = dict(OLD)

    def make(self) -> None:
        (self.root / "data").mkdir(parents=True)
        (self.root / "sql").mkdir()
        self._data()
        self.write(
            "payoff.toml",
            '[project]\nname = "tumours"\n[sources.cells]\nkind = "files"\npath = "data/cells.csv"\n[tracking]\nenabled = false\n',
        )
        self.write("charter.toml", CHARTER)
        self.write("sql/examples.sql", "select * from cells\n")
        self.write("pipeline.py", PIPELINE.replace("{settings}", ""))
        self.write("features.py", FEATURES)
        self.write(".gitignore", ".payoff/\n.venv/\n")
        self.lock()
        for words in (
            ["init", "-q", "-b", "main"],
            ["config", "user.email", "a@example.org"],
            ["config", "user.name", "A"],
        ):
            subprocess.run(["git", *words], cwd=self.root, check=True)
        self.commit("A")

    def _data(self) -> None:
        code = (
            "import sys; from sklearn.datasets import load_breast_cancer as l; d = l(as_frame=True); f = d.data; f['malignant'] = d.target == 0;"
            "f.columns = [c.replace(' ', '_') for c in f.columns]; f.insert(0, 'id', range(len(f))); f.to_csv(sys.argv[1], index=False)"
        )
        words = [UV, "run", "-q", "--no-project", "--with", f"scikit-learn=={OLD['scikit-learn']}", "--with", "numpy==1.26.3", "--with",
                 "pandas==2.2.1", "python", "-c", code, str(self.root / "data/cells.csv")]  # fmt: skip
        subprocess.run(words, check=True, cwd=self.root)

    def write(self, file: str, text: str) -> None:
        (self.root / file).write_text(text)

    def swap(self, file: str, old: str, new: str) -> None:
        text = (self.root / file).read_text()
        assert old in text, (file, old)
        self.write(file, text.replace(old, new, 1))

    def lock(self, **packages: str) -> None:
        self.packages |= {name.replace("_", "-"): version for name, version in packages.items()}
        pins = "".join(f'    "{name}=={version}",\n' for name, version in self.packages.items())
        self.write(
            "pyproject.toml",
            f'[project]\nname = "tumours"\nversion = "0.1.0"\nrequires-python = ">=3.11"\ndependencies = [\n{pins}]\n[tool.uv]\npackage = false\n',
        )
        subprocess.run([UV, "lock", "-q"], cwd=self.root, check=True)

    def commit(self, message: str) -> None:
        subprocess.run(["git", "add", "-A"], cwd=self.root, check=True)
        subprocess.run(["git", "commit", "-qm", message], cwd=self.root, check=True)

    def run(self, variables: tuple[str, str] | None, *words: str) -> tuple[str, float]:
        began = time.perf_counter()
        more = dict([variables]) if variables else {}
        done = subprocess.run(
            [PAYOFF, "run", "--json", *words],
            cwd=self.root,
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        answer = json.loads(done.stdout)
        assert "run" in answer, done.stdout + done.stderr
        return answer["run"], time.perf_counter() - began


def decoys(place: Place) -> None:
    """Things that change and do not matter: nine packages, a helper nobody's result hangs on, a comment, a second helper's wording."""
    place.lock(**{name.replace("-", "_"): version for name, version in DECOYS.items()})
    place.swap("features.py", '{len(rows)} rows"', '{len(rows)} rows in all"')
    place.swap("features.py", "return rows.drop(columns=", "return rows.drop(axis=1, columns=")


def package(place: Place) -> None:
    decoys(place)
    place.lock(scikit_learn="1.6.1")


def helper(place: Place) -> None:
    decoys(place)
    place.swap("features.py", "np.log1p(np.abs(rows))", "np.sqrt(np.abs(rows))")


def row(place: Place) -> None:
    decoys(place)
    lines = (place.root / "data/cells.csv").read_text().splitlines()
    place.swap(
        "data/cells.csv",
        lines[1],
        ",".join(str(float(v) * 3) if 0 < n < 5 else v for n, v in enumerate(lines[1].split(","))),
    )


def parameter(place: Place) -> None:
    decoys(place)
    place.swap("pipeline.py", "alpha: float = 0.0001", "alpha: float = 0.001")


def seed(place: Place) -> None:
    decoys(place)
    place.swap("pipeline.py", "seed=7", "seed=8")


def threads(place: Place) -> None:
    decoys(place)
    place.swap("pipeline.py", "seed=7", "seed=7, threads=1")


def failure(place: Place) -> None:
    decoys(place)
    place.swap("features.py", "    return np.log1p", "    raise ValueError('not today')\n    return np.log1p")


def two(place: Place) -> None:
    package(place)
    place.swap("pipeline.py", "alpha: float = 0.0001", "alpha: float = 0.001")


CASES = (
    Case("package", package, (("package", "scikit-learn"),), first="1.6.0"),
    Case("helper", helper, (("code", "clean"),)),
    Case("row", row, (("data", "cells"),)),
    Case("parameter", parameter, (("parameter", "alpha"),)),
    Case("seed", seed, (("seed", "model"),)),
    Case("threads", threads, (("system", "threads"),), metric="sums"),
    Case("kernel", decoys, (("system", "OPENBLAS_CORETYPE"),), metric="sums", variables=(("OPENBLAS_CORETYPE", "Haswell"), ("OPENBLAS_CORETYPE", "Sandybridge"))),
    Case("failure", failure, (("code", "clean"),)),
    Case("package and parameter", two, (("package", "scikit-learn"), ("parameter", "alpha"))),
    Case("none", decoys, ()),
)  # fmt: skip


def try_one(case: Case, root: Path) -> bool:
    """Plant, run twice, ask; prints a line."""
    place = Place(root)
    place.make()
    first, second = case.variables or (None, None)
    a, took_a = place.run(first, *(("-p", "epochs=30")))
    case.change(place)
    place.commit("B")
    b, took_b = place.run(second, *(("-p", "epochs=30")))
    began = time.perf_counter()
    done = subprocess.run(
        [PAYOFF, "why", a, b, "--metric", case.metric, "--json"], cwd=root, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    answer = json.loads(done.stdout)
    if "verdict" not in answer:
        sys.stdout.write(f"{case.name:24} {done.stdout[:2000]} {done.stderr[-2000:]}\n")
        return False
    found = [(each["kind"], each["name"]) for each in answer["causes"]]
    right = len(found) == len(case.causes) and all(
        any(k == kind and part in name for k, name in found) for kind, part in case.causes
    )
    right = right and answer["verdict"] == ("explained" if case.causes else "no-difference")
    since = next((each["first_changed"] for each in answer["causes"] if each["kind"] == "package"), None)
    right = right and (not case.first or since == case.first)
    sys.stdout.write(
        f"{case.name:24} {'right' if right else 'WRONG':6} {answer['verdict']:14} {', '.join(f'{k} {n}' for k, n in found) or '-':44} {since or '':8}"
        f" {answer['executions']:3} of {answer['bound']:3}, {len(answer['factors']):3} factors  {took:6.1f} s = {took / (took_a + took_b):.1f} x the two runs\n"
    )
    sys.stdout.flush()
    return right


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        results = [try_one(case, place / case.name.replace(" ", "-")) for case in CASES if case.name in options.cases]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
