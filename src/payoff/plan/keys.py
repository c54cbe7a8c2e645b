"""What makes a stage stale: facts, the key over them, and the words for what changed.

A step is stale when its code (normalised syntax of the function and of what it uses in the project), its inputs' content, its
parameters, its environment lock or the system changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing

if TYPE_CHECKING:
    from payoff.records.contract import Contract
    from payoff.records.project import Environment, Step
    from payoff.records.state import Remembered

_EXPLAINS_ONLY = ("parts", "packages", "names")


def step_facts(
    step: Step,
    environment: Environment | None,
    parameters: dict[str, Any],
    inputs: dict[str, str],
    system: dict[str, str],
) -> dict[str, Any]:
    """Everything a step's result depends on. `inputs` maps each input's name to the identity of its content."""
    facts: dict[str, Any] = {
        "code": step.code,
        "parts": step.parts,
        "inputs": inputs,
        "parameters": parameters,
    }
    if step.kind == "python" and environment is not None:
        facts |= {
            "environment": environment.digest,
            "packages": {**environment.packages, "python": environment.python},
            "system": system,
            "settings": {"seed": step.seed, "deterministic": step.deterministic, "threads": step.threads},
        }
    return facts


def promised(contract: Contract | None) -> dict[str, Any]:
    """What a step's contract makes the product do: apply reviewed operators to its table, or see whether columns depend on what they say.

    Nothing where it asks for neither.
    """
    if contract is None:
        return {}
    applied = {name: {**msgspec.to_builtins(each), "line": 0} for name, each in contract.applied.items()}
    depends = {each.name: sorted(each.depends) for each in contract.columns if each.depends is not None}
    return ({"lowering": applied} if applied else {}) | ({"depends": depends} if depends else {})


def key(name: str, facts: dict[str, Any]) -> str:
    """The digest by which a finished stage is found again."""
    return hashing.of_json([name, {k: v for k, v in facts.items() if k not in _EXPLAINS_ONLY}])


def reasons(facts: dict[str, Any], before: Remembered | None) -> tuple[str, ...]:
    """Why a stage with these facts is not what was done before, in words; `never run` when there is no before."""
    if before is None:
        return ("never run",)
    old = before.facts
    found: list[str] = []
    found += _code(old, facts)
    found += [f"input {n} changed" for n in _changed(old.get("inputs"), facts.get("inputs"))]
    found += _values("parameter", old.get("parameters"), facts.get("parameters"))
    found += _environment(old, facts)
    found += _values("system", old.get("system"), facts.get("system"))
    found += _values("setting", old.get("settings"), facts.get("settings"))
    handled = {"code", "parts", "inputs", "parameters", "environment", "packages", "system", "settings", "names"}
    found += [
        f"{name} changed" for name in sorted((old.keys() | facts.keys()) - handled) if old.get(name) != facts.get(name)
    ]
    return tuple(found) or ("its earlier result is no longer in the store",)


def _code(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    if old.get("code") == new.get("code"):
        return []
    names = _changed(old.get("parts"), new.get("parts"))
    return [f"code of {name} changed" for name in names] or ["code changed"]


def _environment(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    if old.get("environment") == new.get("environment"):
        return []
    return _values("package", old.get("packages"), new.get("packages")) or ["environment's lock changed"]


def _changed(old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    before, after = old or {}, new or {}
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _values(word: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    before, after = old or {}, new or {}
    return [
        f"{word} {name}: {before.get(name, '(none)')} -> {after.get(name, '(none)')}"
        for name in _changed(before, after)
    ]


def differs(facts: dict[str, Any], before: Remembered) -> bool:
    """True when something other than the inputs' content changed."""
    ignored = {*_EXPLAINS_ONLY, "inputs"}
    names = (facts.keys() | before.facts.keys()) - ignored
    return any(facts.get(name) != before.facts.get(name) for name in names)
