"""The local executor keeps what every executor promises."""

from __future__ import annotations

from payoff.testing.executor import ExecutorSuite


class TestLocalExecutor(ExecutorSuite):
    adapter = "payoff.executors:local"
