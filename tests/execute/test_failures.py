"""What a failure of a task says to the user."""

from __future__ import annotations

from typing import Any

import pytest

from payoff.execute.failures import StepEnded, StepFailed, raise_failure
from payoff.records.project import Step
from payoff.records.task import Failure, TaskResult


@pytest.mark.parametrize("log", ["", "/project/.payoff/logs/step.log"])
@pytest.mark.parametrize("kind", ["exception", "exit", "killed", "memory", "type", "environment", "cancelled"])
def test_a_remedy_names_a_log_only_where_there_is_one(kind: Any, log: str) -> None:
    step = Step(name="model", kind="python", file="pipeline.py", line=3, inputs=(), output="object")
    failure = Failure(kind=kind, error="SIGSEGV", message="its process crashed", signal=11)
    with pytest.raises((StepFailed, StepEnded)) as caught:
        raise_failure(step, failure, TaskResult(id="t", ok=False, log=log, fingerprint={"python": "3.12.1"}))
    assert "see ;" not in caught.value.remedy
    assert "{" not in caught.value.remedy
    assert (log in caught.value.remedy) == (kind == "killed" or not log)
    assert caught.value.fingerprint == {"python": "3.12.1"}, "what was loaded when it failed is kept, too"
