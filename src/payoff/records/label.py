"""Labels: facts on a column that say how openly, where, what for and how long it may be kept. Steps pass them on to what they make."""

from __future__ import annotations

from typing import Literal

import msgspec

Classification = Literal["public", "internal", "confidential", "personal", "secret"]
Operator = Literal["drop", "hash", "mask", "generalise", "aggregate", "noise"]

# From what anybody may see to what nobody may; each stands for all before it, too.
CLASSIFICATIONS: tuple[Classification, ...] = ("public", "internal", "confidential", "personal", "secret")
ANYWHERE = "any"  # in the place of a residency or of purposes: not restricted, whatever the default says
HERE = "here"  # the zone of a project that names none


class LabelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract (or `[labels]` for what no contract speaks of) says: None where it says nothing.

    `residency`: names of zones or jurisdictions; `retention`: days.
    """

    classification: Classification | None = None
    residency: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    retention: int | None = None


class Label(msgspec.Struct, frozen=True):
    """What holds for a column. `zones`: the only ones where it may be; `purposes`: the only ones that it may be used for; `retention`: the most
    days that it may be kept (None: any).
    """

    classification: Classification = "public"
    zones: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    retention: int | None = None

    @property
    def level(self) -> int:
        """How far up the classification is, from 0."""
        return CLASSIFICATIONS.index(self.classification)

    @property
    def limits(self) -> bool:
        """Whether it keeps anybody from anything: more than internal, or bound to places, purposes or a time."""
        bound = (self.zones, self.purposes, self.retention)
        return self.level > CLASSIFICATIONS.index("internal") or any(each is not None for each in bound)


class Lowering(msgspec.Struct, frozen=True, kw_only=True):
    """How a column of a table gets a lower label than what it is made of, and who stands for it.

    `drop` leaves it out. `hash`: HMAC-SHA-256 style, with the key in the environment variable `key`. `mask` keeps `keep` characters at the end.
    `generalise`: numbers to multiples of `width`, times to `unit`. `aggregate`: a group-wise sum, count or mean over at least `k` rows; smaller groups are left out.
    `noise`: Laplace noise for `epsilon`, values kept between `low` and `high`.
    """

    operator: Operator
    steward: str
    to: LabelSpec
    why: str = ""
    key: str = ""
    keep: int = 0
    width: float | None = None
    unit: str = ""
    k: int = 0
    epsilon: float = 0.0
    low: float | None = None
    high: float | None = None
    line: int = 0


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """A place with its jurisdictions (`["DE", "EU"]`); nothing above `clearance` may be there."""

    name: str
    jurisdictions: tuple[str, ...] = ()
    clearance: Classification = "secret"
    line: int = 0
