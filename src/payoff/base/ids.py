"""Identifiers of runs: sortable by time, short enough to type."""

from __future__ import annotations

import os
import re
import time


def new_run_id() -> str:
    """A new run's id, as `20261123-144105-3f9a1c`: UTC time, then 24 random bits."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + "-" + os.urandom(3).hex()


def new_request_id() -> str:
    """A name for a request that brings none: 64 random bits."""
    return os.urandom(8).hex()


def project_id(name: str) -> str:
    """A project's id in the ledger, from its name: letters, digits, `.`, `_` and `-`.

    >>> project_id("Mein Prüfstand!")
    'Mein-Prüfstand'
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "project"
