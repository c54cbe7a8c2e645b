"""When two runs are said to have ended in the same way."""

from __future__ import annotations

from typing import Any

from payoff.flows.comparing.laboratory import failure
from payoff.records.evidence import StepOutcome
from payoff.records.run import RunRecord
from payoff.records.task import Failure


def ended(*failures: tuple[str, str, str]) -> str:
    steps = tuple(
        StepOutcome(name=f"step{n}", state="failed", failure=Failure(kind=kind, error=error, message=message))  # type: ignore[arg-type]
        for n, (kind, error, message) in enumerate(failures)
    )
    plain: dict[str, Any] = {"run": "r", "project": "p", "name": "p", "status": "failed", "started": "", "finished": "", "seconds": 1.0}
    return failure(RunRecord(**plain, steps=steps))


def test_a_step_that_was_cancelled_for_another_is_not_what_failed() -> None:
    assert ended(("cancelled", "Cancelled", "another failed"), ("exception", "KeyError", "'x'")) == "KeyError in step1"


def test_equal_errors_with_other_words_are_other_failures() -> None:
    one, other = (ended(("exception", "ValueError", f"the {word} is wrong")) for word in ("scale", "share"))
    assert one != other
    assert one.startswith("ValueError in step0 (")
    # Words of the error only: what is in quotes, numbers and paths may be of a row, or of a folder of the laboratory.
    rows = ["row 17 of '/tmp/a/x.csv' is 'Anna', at 0x7f01", "row 4 of '/tmp/b/x.csv' is 'Otto', at 0x7f99"]
    first, second = (ended(("exception", "ValueError", row)) for row in rows)
    assert first == second
    assert "Anna" not in first
