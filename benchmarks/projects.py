"""Projects to time: written into a folder, locked, committed."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import uv

CHARTER = """
[objective]
statement = "Keep more subscribers: bring monthly churn from 4.8 % to 4.0 % by June 2027."
owner = "Head of Retention"
[decision]
question = "Who gets an offer?"
examples = "examples"
id = "id"
outcome = { column = "churned", positive = true, means = "cancels within 30 days" }
per_year = 12000
[payoff]
currency = "EUR"
offer.churned = 20
offer.stays = -1
nothing.churned = 0
nothing.stays = 0
[common_solutions]
nobody = { action = "nothing" }
everyone = { action = "offer" }
[split]
by = "hash"
on = "id"
holdout = 0.5
[model]
step = "model"
[costs]
build = 100
run_per_year = 10
[accept]
confidence = 0.95
min_gain_per_year = 1
"""

MODEL = """
import pyarrow as pa
import pyarrow.compute as pc
from payoff import step


class Rule:
    classes_ = [False, True]

    def predict_proba(self, rows):
        return [[1 - p, p] for p in pc.if_else(pc.greater(rows["calls"], 5), 0.9, 0.01).to_pylist()]


@step
def examples(customers: pa.Table) -> pa.Table:
    return customers


@step
def model(train: pa.Table):
    return Rule()
"""


def project(folder: Path, pipeline: str, *, dependencies: list[str], customers: bool = True) -> Path:
    """A locked and committed project with a charter that a fixed rule satisfies."""
    folder.mkdir(parents=True)
    (folder / "payoff.toml").write_text(
        '[project]\nname = "bench"\n[tracking]\nenabled = false\n'
        + ('[sources.customers]\nkind = "files"\npath = "customers.csv"\n' if customers else "")
    )
    (folder / "charter.toml").write_text(CHARTER)
    (folder / "pipeline.py").write_text(pipeline)
    (folder / ".gitignore").write_text(".payoff/\n.venv/\ncustomers.csv\n")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "bench"\nversion = "0"\nrequires-python = ">=3.11"\n'
        f"dependencies = {dependencies}\n".replace("'", '"')
    )
    if customers:
        rng = random.Random(7)
        rows = ["id,calls,churned"]
        for number in range(4000):
            calls = rng.randrange(10)
            rows.append(f"{number},{calls},{'true' if rng.random() < (0.5 if calls > 5 else 0.02) else 'false'}")
        (folder / "customers.csv").write_text("\n".join(rows) + "\n")
    run = lambda *words: subprocess.run(words, cwd=folder, check=True, capture_output=True)  # noqa: E731
    run(uv.find_uv_bin(), "lock")
    run("git", "init", "-q")
    run("git", "add", "-A")
    run("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "start")
    return folder


def trivial_steps(count: int, *, chain: bool) -> str:
    """`count` steps that each add one to a number, one after another or all from the first."""
    lines = ["from payoff import step\n", "@step\ndef s0():\n    return 1\n"]
    for number in range(1, count):
        before = f"s{number - 1}" if chain else "s0"
        lines.append(f"@step\ndef s{number}({before}):\n    return {before} + 1\n")
    return "\n".join(lines)
