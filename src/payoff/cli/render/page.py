"""The frame of every page: self-contained, nothing loads, no script runs."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path


def page(*, name: str, title: str, when: str, about: str, body: str, footer: str, version: str) -> str:
    """A whole HTML document; `body` and `footer` are HTML, the rest is text."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Payoff {escape(version)}">
<title>{escape(name)}: {escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header class="top"><strong>{escape(name)}</strong>
<span>{escape(when)} · <span>{escape(about)}</span></span></header>
<main>
{body}
</main>
{footer}
</body>
</html>
"""
