"""A small real project under git, written by hand for each test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from payoff.project import inspect

if TYPE_CHECKING:
    from payoff.records.finding import Finding
    from payoff.records.project import Project

FILES = {
    ".gitignore": ".payoff/\n.venv/\n__pycache__/\n",
    "payoff.toml": """\
[project]
name = "churn"
[sources.customers]
kind = "sqlite"
path = "data/app.db"
password = "${DB_PASSWORD}"
[sources.usage]
kind = "files"
path = "data/usage/*.parquet"
""",
    "charter.toml": """\
[objective]
statement = "Bring monthly churn from 4.8 % to 4.0 % by June 2027."
owner = "Head of Retention"
[decision]
question = "Which subscribers get an offer this month?"
examples = "examples"
id = "customer_id"
outcome = { column = "churned", positive = true, means = "cancels within 30 days" }
per_year = 120000
[payoff]
currency = "EUR"
offer.churned = "0.3 * lifetime_value - offer_cost"
offer.stays = "-offer_cost"
nothing.churned = "-lifetime_value"
nothing.stays = 0
[common_solutions]
nobody = { action = "nothing" }
everyone = { action = "offer" }
rule = { sql = "case when calls > 3 then 'offer' else 'nothing' end", says = "who called more than 3 times" }
[split]
by = "hash"
on = "customer_id"
holdout = 0.25
[model]
step = "model"
[costs]
build = 40000
run_per_year = 12000.10
""",
    "pipeline.py": """\
import ibis, pandas as pd
from payoff import step
from lib import features as f

@step
def examples(customers: ibis.Table, usage_clean: ibis.Table) -> ibis.Table:
    return customers.join(usage_clean, "customer_id").mutate(load=f.load())

@step(seed=7)
def model(train: pd.DataFrame, *, max_iter: int = 200):
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier(max_iter=max_iter).fit(train, train["churned"])
""",
    "lib/features.py": "from .deep import helper\n\ndef load():\n    return helper() + 1\n\ndef unused():\n    return 5\n",
    "lib/deep.py": "FACTOR = 3\n\ndef helper():\n    return FACTOR\n",
    "sql/usage_clean.sql": "-- only real use\nselect * from usage where minutes > 0;\n",
    "contracts/customers.yaml": """\
apiVersion: v3.1.0
kind: DataContract
id: customers
version: 1.0.0
status: active
schema:
  - name: customers
    properties:
      - name: customer_id
        logicalType: integer
        primaryKey: true
      - name: churned
        logicalType: boolean
        customProperties:
          - {property: known, value: after}
          - {property: knownWhy, value: found out 30 days later}
""",
    "contracts/usage.yaml": """\
apiVersion: v3.1.0
kind: DataContract
id: usage
version: 1.0.0
status: active
schema:
  - name: usage
    properties:
      - name: customer_id
        logicalType: integer
        relationships:
          - to: customers.customer_id
      - name: minutes
        logicalType: number
""",
    "pyproject.toml": """\
[project]
name = "churn"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["pandas>=2", "scikit_learn"]
[dependency-groups]
dev = ["pytest"]
""",
    "uv.lock": """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "churn"
version = "0.1.0"
source = { virtual = "." }
dependencies = [
    { name = "pandas" },
    { name = "scikit-learn" },
]

[package.dev-dependencies]
dev = [
    { name = "pytest" },
]

[package.metadata]
requires-dist = [
    { name = "pandas", specifier = ">=2" },
    { name = "scikit-learn" },
]

[package.metadata.requires-dev]
dev = [{ name = "pytest" }]

[[package]]
name = "numpy"
version = "2.1.0"
source = { registry = "mirror" }
wheels = [{ url = "numpy.whl", hash = "sha256:aa", size = 1 }]

[[package]]
name = "pandas"
version = "2.2.0"
source = { registry = "mirror" }
dependencies = [{ name = "numpy" }]
wheels = [{ url = "pandas.whl", hash = "sha256:bb", size = 1 }]

[[package]]
name = "pytest"
version = "9.0.0"
source = { registry = "mirror" }
wheels = [{ url = "pytest.whl", hash = "sha256:cc", size = 1 }]

[[package]]
name = "scikit-learn"
version = "1.5.0"
source = { registry = "mirror" }
dependencies = [{ name = "numpy" }]
wheels = [{ url = "sklearn.whl", hash = "sha256:dd", size = 1 }]
""",
}


class Written:
    """A project folder in a test: change files, then look at what the loader makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, file: str, content: str) -> None:
        """Write a whole file."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def change(self, file: str, old: str, new: str) -> None:
        """Replace a piece of a file, which has to be there."""
        content = (self.root / file).read_text(encoding="utf-8")
        assert old in content
        self.write(file, content.replace(old, new, 1))

    def remove(self, file: str) -> None:
        """Remove a file."""
        (self.root / file).unlink()

    def git(self, *arguments: str) -> str:
        """Run git in the project."""
        return run_git(self.root, *arguments)

    def inspect(self) -> tuple[Project | None, list[Finding]]:
        """What the loader finds."""
        return inspect(self.root)

    def project(self) -> Project:
        """The project, which must be free of errors."""
        project, findings = inspect(self.root)
        assert project is not None, findings
        assert [finding for finding in findings if finding.severity == "error"] == []
        return project

    def codes(self) -> list[str]:
        """The codes of what is found, notes apart."""
        return [finding.code for finding in inspect(self.root)[1] if finding.severity != "note"]

    def only(self, code: str) -> Finding:
        """The one finding, which has this code, a place, an expectation and a remedy."""
        findings = [finding for finding in inspect(self.root)[1] if finding.severity != "note"]
        assert [finding.code for finding in findings] == [code]
        assert findings[0].expected
        assert findings[0].try_
        return findings[0]


def run_git(root: Path, *arguments: str) -> str:
    """Run git as a user whom no global setting knows."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout.strip()


def write_project(root: Path) -> Written:
    """The project in a folder, committed."""
    written = Written(root)
    for file, content in FILES.items():
        written.write(file, content)
    run_git(root, "init", "-q")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-qm", "start")
    return written


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A project in a folder whose name has spaces and letters beyond ASCII."""
    root = tmp_path / "Ein Projekt für Käufer"
    root.mkdir()
    return write_project(root)
