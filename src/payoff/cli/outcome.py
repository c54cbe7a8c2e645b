"""From a run's record to the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payoff.records.answers.request import RunAnswer

_STATUS = {"passed": 0, "refused": 1}
# A step whose process was ended from outside is the world's doing; a step that raised is the project's.
_OUTSIDE = {"killed", "memory"}


def exit_code(answer: RunAnswer) -> int:
    """0 passed, 1 refused; a failed run says whose fault it was (2 the input, 3 Payoff, 4 the outside world)."""
    record = answer.record
    if record.status in _STATUS:
        return _STATUS[record.status]
    if record.exit_code:
        return record.exit_code
    kinds = {step.failure.kind for step in record.steps if step.failure}
    return 4 if kinds & _OUTSIDE else 2
