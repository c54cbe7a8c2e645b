"""The contracts as they were in another commit."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base.errors import UserError
from payoff.project import worktree
from payoff.project.contracts import compare, table
from payoff.project.files import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.contract import Contract
    from payoff.records.finding import Finding

FOLDER = "contracts"


def against(root: Path, contracts: Sequence[Contract], rev: str) -> list[Finding]:
    """What changed in the contracts since a commit (or branch, or tag) that readers or stewards must know of."""
    return compare.findings(contracts_of(root, rev), contracts, rev)


def contracts_of(root: Path, rev: str) -> list[Contract]:
    """The contracts of a commit; those that cannot be read were no promise to anybody."""
    archive = worktree.archive(root, rev, FOLDER)
    if archive is None:
        raise UserError(
            f"git knows no commit {rev!r}",
            code="PO-P092",
            expected="a commit, a branch or a tag that is in this clone",
            remedy="git fetch, then: payoff check --against origin/main",
        )
    if not archive:
        return []
    with tempfile.TemporaryDirectory(prefix="payoff-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        reading = Reading(Path(folder))
        names = reading.names(FOLDER, (".yaml", ".yml"))
        return [each for name in names for each in table.read(reading, f"{FOLDER}/{name}")[0]]
