"""Tracking in MLflow: one MLflow run per Payoff run, written by a process beside it."""

from payoff.adapters.trackers.mlflow.tracker import CAPABILITIES, MlflowTracker, Options, connect, write

__all__ = ["CAPABILITIES", "MlflowTracker", "Options", "connect", "write"]
