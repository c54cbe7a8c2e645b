"""The generator and its truth are modules of this folder; what is marked slow runs with `-m slow` only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" not in config.getoption("-m"):
        skip = pytest.mark.skip(reason="takes minutes: pytest -m slow")
        for item in items:
            if item.path.parent == Path(__file__).parent and item.get_closest_marker("slow"):
                item.add_marker(skip)
