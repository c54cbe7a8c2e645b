"""What a gate is: Evidence and charter -> Verdict. Gates know nothing of each other; all of them run, none cuts another short."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from payoff.base.errors import Bug, PayoffError
from payoff.records.charter import Charter
from payoff.records.evidence import Evidence, Verdict


class GateSpec(msgspec.Struct, frozen=True):
    """A gate's stable code, its title in plain words, and what to do when it says no."""

    code: str
    title: str
    remedy: str


Gate = Callable[[Evidence, Charter], Verdict | None]


def judge(evidence: Evidence, charter: Charter, gates: Mapping[str, tuple[GateSpec, Gate]]) -> tuple[Verdict, ...]:
    """Every gate's verdict; a gate for which the evidence has nothing to judge gives none."""
    verdicts = []
    for name, (spec, gate) in gates.items():
        try:
            verdict = gate(evidence, charter)
        except PayoffError:
            raise
        except Exception as error:
            raise Bug(
                f"gate {name} stumbled over the evidence ({type(error).__name__})",
                code="PO-G900",
                remedy="please report this; payoff show latest --json has the evidence",
            ) from error
        if verdict is not None:
            filled = {
                "gate": name,
                "code": spec.code,
                "title": spec.title,
                "remedy": "" if verdict.passed else spec.remedy,
            }
            verdicts.append(msgspec.structs.replace(verdict, **filled))
    return tuple(verdicts)
