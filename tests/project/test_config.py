"""payoff.toml: sources, environments, references to secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from payoff.project import config

if TYPE_CHECKING:
    from conftest import Written


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "words"),
    [
        ("[sources.usage]", "[source.usage]", "PO-P006", 7, "nearest: sources"),
        ('kind = "files"', 'knd = "files"', "PO-P007", 7, "kind"),
        ('name = "churn"', "name = 5", "PO-P008", 2, "text"),
        ('name = "churn"', 'name = "a/b"', "PO-P009", 2, "without /"),
        ('name = "churn"', "name = churn", "PO-P005", 2, "TOML"),
        ('"${DB_PASSWORD}"', '"hunter2"', "PO-P010", 6, "${DATABASE_PASSWORD}"),
        ('"data/app.db"', '"postgresql://me:hunter2@host/db"', "PO-P010", 5, "environment variable"),
        ('"${DB_PASSWORD}"', '"${DB PASSWORD}"', "PO-P011", 6, "${NAME}"),
        ('"${DB_PASSWORD}"', '"${DB_PASSWORD"', "PO-P011", 6, "${NAME}"),
        ("[sources.usage]", "[sources.train]", "PO-P013", 7, "holdout"),
        ("[sources.usage]", '[sources."my usage"]', "PO-P013", 7, "letters"),
        ("[sources.usage]", '[environments.x]\nfolder = "../x"\n[sources.usage]', "PO-P014", 8, "inside the project"),
        ("[sources.usage]", '[pipeline]\nfile = "../steps.py"\n[sources.usage]', "PO-P014", 8, "inside the project"),
        ("[sources.usage]", '[environments.x]\nmemory = "4"\n[sources.usage]', "PO-P009", 8, "4GB"),
        ("[sources.usage]", '[environments.x]\ngroups = ["tests"]\n[sources.usage]', "PO-P024", 7, "dev"),
        ("[sources.usage]", '[pipeline]\nfile = "steps.py"\n[sources.usage]', "PO-P003", 0, "Python file"),
        ("[sources.usage]", "[run]\nworkers = 0\n[sources.usage]", "PO-P009", 8, "1 or more"),
    ],
)
def test_a_mistake(written: Written, old: str, new: str, code: str, line: int, words: str) -> None:
    written.change("payoff.toml", old, new)
    errors = [f for f in written.inspect()[1] if f.severity == "error"]
    finding = next(f for f in errors if f.code == code)
    assert finding.where is not None
    assert (finding.where.file, finding.where.line) == ("payoff.toml", line)
    assert words in finding.expected
    assert "hunter2" not in str(errors)


def test_addresses_may_hold_references(written: Written) -> None:
    written.change("payoff.toml", '"data/app.db"', '"postgresql://me:${DB_PASSWORD}@host/db"')
    assert written.project().source("customers").options["path"] == "postgresql://me:${DB_PASSWORD}@host/db"  # type: ignore[union-attr]


def test_everything_that_can_be_set(written: Written) -> None:
    written.change(
        "payoff.toml",
        "[sources.usage]",
        """\
[environments.default]
memory = "1.5GiB"
[environments.test]
groups = ["dev"]
threads = 2
[tracking]
uri = "https://tracking"
experiment = "other"
[ledger]
kind = "sqlite"
path = "x.db"
[store]
path = "s"
since = 2026-01-02
factor = 0.5
[run]
workers = 3
[sources.usage]
zone = "eu"
""",
    )
    project = written.project()
    default, test = project.environments
    assert (default.name, default.memory_bytes, default.groups) == ("default", 3 * 2**29, ())
    assert (test.name, test.threads, test.groups) == ("test", 2, ("dev",))
    assert project.tracking.uri == "https://tracking"
    assert (project.tracking.experiment, project.tracking.registered_model) == ("other", "churn")
    assert project.ledger == {"kind": "sqlite", "path": "x.db"}
    assert project.store == {"path": "s", "since": "2026-01-02", "factor": 0.5}
    assert project.workers == 3
    assert project.source("usage").zone == "eu"  # type: ignore[union-attr]
    assert written.project() == project, "the same from the cache"


@pytest.mark.parametrize(("text", "size"), [("4GB", 4 * 10**9), ("4 GiB", 2**32), ("0.5MB", 500_000), ("1KiB", 1024)])
def test_sizes(text: str, size: int) -> None:
    assert config.size(text) == size
