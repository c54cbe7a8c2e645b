"""What the ledger knows before a run: finished outcomes by key, the last run, looks at the holdout."""

from __future__ import annotations

from typing import Any

import msgspec

from payoff.records.artifact import Artifact


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """A finished step of an earlier run (or of an interrupted one). `facts` is what its key was made of, to explain a change.

    `fingerprint` is what was really loaded when it was computed; empty where that was before fingerprints were remembered.
    """

    step: str
    key: str
    run: str
    output: Artifact
    facts: dict[str, Any] = {}
    seconds: float = 0.0
    metrics: dict[str, float] = {}
    extra: dict[str, Any] = {}
    fingerprint: dict[str, Any] = {}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`latest` maps each step to what is remembered of its most recent run, whatever its key; `looks` each holdout to the looks taken at it."""

    latest: dict[str, Remembered] = {}
    last_run: str | None = None
    looks: dict[str, int] = {}
