"""What differs between two runs, one factor at a time; what was measured of hybrids of them; and which factors were the cause."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FactorKind = Literal["package", "code", "data", "parameter", "seed", "system", "hardware"]


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs between run A and run B and can be taken from either.

    `id` is unique among the factors of a pair and stable (`package:default:numpy`, `code:features.scale`, `data:customers`,
    `parameter:model.max_iter`, `seed:model`, `system:threads:model`). `name` is what people call it; `a` and `b` are its values as text for
    screens (versions, digests, numbers; empty where that side does not have it). `group` is where the search looks first: factors of one
    group are tried together. `needs`: ids of factors that this one cannot be switched without. `testable` is false where this machine
    cannot switch it; `reason` then says why.
    """

    id: str
    kind: FactorKind
    name: str
    a: str = ""
    b: str = ""
    group: str = ""
    needs: tuple[str, ...] = ()
    testable: bool = True
    reason: str = ""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one execution of a hybrid gave: a `value`; `failed`, where the run itself failed (`error` says with what: an outcome like a value);
    or `unknown`, where there was nothing to execute (packages that do not resolve together, code that does not fit).
    """

    state: Literal["value", "failed", "unknown"]
    value: float | None = None
    error: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A factor (or several that the search could not part: `names` then has them all) and its share of the difference, with its interval.

    `effect` is in the metric's unit, from A towards B; null where one side is a failure. `first_changed` is the first version of a package,
    after A's, that changes the result.
    """

    kind: FactorKind
    name: str
    a: str
    b: str
    first_changed: str | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    names: tuple[str, ...] = ()
    reason: str = ""


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """Factors that do together what they do not do alone: `effect` is what is left of their joint effect after that of each alone."""

    names: tuple[str, ...]
    effect: float | None = None
    low: float | None = None
    high: float | None = None


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """How far equal runs differ: the standard deviation (0: equal to the last bit). `replicates` counts executions of A and of B, and repeats of
    other hybrids.
    """

    deviation: float = 0.0
    replicates: int = 0


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Which factors made the difference between the metric of A and that of B.

    `verdict`: `explained` (the causes make up the difference), `partly` (a remainder beyond noise is left), `no-difference` (none beyond
    noise), `unknown` (the search could not decide: budget, unresolvable hybrids, untestable factors). `remainder` is what no cause explains, in the
    metric's unit. `executions` counts calls of the measure, `bound` is 2 log2(changed factors) + replicates. `untested`: ids of factors that
    could not be switched here; `innocent`: of those that were shown not to matter.
    """

    verdict: Literal["explained", "partly", "no-difference", "unknown"]
    a: Measured
    b: Measured
    noise: Noise = Noise()
    causes: tuple[Cause, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    remainder: float | None = None
    executions: int = 0
    bound: int = 0
    innocent: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()
    reason: str = ""
    tried: tuple[dict[str, Any], ...] = ()
