"""The local store keeps what every store promises, and says so when the disk is full."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from payoff.base.errors import OutsideError
from payoff.testing.store import TABLE, StoreSuite, connect, identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestLocalStore(StoreSuite):
    adapter = "payoff.stores:local"


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_loses_nothing(tiny: Path) -> None:
    store = connect("payoff.stores:local", tiny)
    file = store.scratch("kept")
    file.write_bytes(TABLE)
    kept = store.put_table(file, identity("kept"))
    with pytest.raises((OSError, OutsideError)):  # noqa: PT012 - whichever of them meets the end of the disk
        for number in range(400):
            file = store.scratch("more")
            file.write_bytes(TABLE)
            store.put_table(file, identity(f"more{number}"))
    assert store.path(kept).read_bytes() == TABLE
    file.unlink(missing_ok=True)
    assert store.has(kept)
