"""Every code that this room uses has a page, and every page a code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_code_is_explained() -> None:
    sources = [*(ROOT / "src/payoff/project").rglob("*.py"), ROOT / "src/payoff/base/files.py"]
    used = {code for path in sources for code in re.findall(r"PO-[PC]\d{3}", path.read_text(encoding="utf-8"))}
    pages = [ROOT / "docs/errors/project.md", ROOT / "docs/errors/charter.md"]
    explained = re.findall(
        r"^## (PO-[PC]\d{3}) \S", "\n".join(p.read_text(encoding="utf-8") for p in pages), re.MULTILINE
    )
    assert sorted(used) == sorted(explained)
