"""What goes wrong with MLflow, in Payoff's words: an answer for the run, the story in the log, secrets in neither."""

from __future__ import annotations

import os
import sys
import traceback

from payoff.adapters.trackers.mlflow.settings import Settings, redacted, without_secrets
from payoff.base.errors import OutsideError

_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABRICKS_TOKEN")
_LONGEST = 300


class TrackingError(OutsideError):
    """Something outside kept a run from being tracked."""


def told(error: Exception, settings: Settings) -> dict[str, str]:
    """`error`, `code` and `try` of a failure; its traceback goes to the log."""
    secrets = tuple(os.environ[name] for name in _SECRET_VARIABLES if os.environ.get(name))
    story = "".join(traceback.format_exception(error))
    sys.stderr.write(without_secrets(story, settings.uri, secrets))
    sys.stderr.flush()
    known = error if isinstance(error, TrackingError) else _recognised(error, settings)
    said = without_secrets(known.what, settings.uri, secrets)
    return {"error": said, "code": known.code, "try": without_secrets(known.remedy, settings.uri, secrets)}


def _recognised(error: Exception, settings: Settings) -> TrackingError:
    text, where = _first_line(error), redacted(settings.uri)
    chain = _chain(error)
    if any("out-of-date database schema" in each or "Can't locate revision" in each for each in chain):
        return TrackingError(
            f"the MLflow store at {where} was written by another version of MLflow",
            code="PO-K004",
            remedy=f"mlflow db upgrade {where}   # after a backup; or install the MLflow that wrote it",
        )
    if any(word in each for each in chain for word in ("401", "403", "Unauthorized", "Forbidden", "authenticat")):
        return TrackingError(
            f"the MLflow server at {where} did not accept the user",
            code="PO-K003",
            remedy="export MLFLOW_TRACKING_USERNAME=... MLFLOW_TRACKING_PASSWORD=... (or MLFLOW_TRACKING_TOKEN)",
        )
    if any(
        word in each for each in chain for word in ("ConnectionError", "Max retries", "Timeout", "could not connect")
    ):
        return TrackingError(
            f"the MLflow server at {where} did not answer",
            code="PO-K002",
            remedy=f"curl {where}/health   # then payoff run: what is missing is caught up",
        )
    local = ("No space left", "disk is full", "disk I/O", "readonly", "unable to open", "not a database", "malformed")
    if any(word in each for each in chain for word in local):
        return TrackingError(
            f"the MLflow store at {where} cannot be written, or is damaged ({text})",
            code="PO-K005",
            remedy=f"df -h {settings.folder}; mv a damaged file aside: the ledger has every run",
        )
    return TrackingError(
        f"MLflow at {where} failed: {text}",
        code="PO-K008",
        remedy=f"read {os.path.join(settings.folder, 'mlflow.log')}; the next payoff run tries again",
    )


def _chain(error: BaseException) -> list[str]:
    found: list[str] = []
    at: BaseException | None = error
    while at is not None and len(found) < 10:
        found.append(f"{type(at).__name__}: {at}")
        at = at.__cause__ or at.__context__
    return found


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:_LONGEST]
