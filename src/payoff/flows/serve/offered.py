"""A model, ready to be served: what a server needs to know of it, wherever it came from."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from payoff.records.project import ServingSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from payoff.ports.kit import Kit
    from payoff.records.project import Environment
    from payoff.records.serving.served import Served


class Offer(NamedTuple):
    """`root` is the folder of the code, `home` the project's own, `python` the interpreter of the model's environment, `model` the pickle's file.
    `known` are a few rows of the holdout (the model's columns) and what the run's model said of them. `kit` has the engine that computes payoffs, `engine` is its section; `variables` are set for the model's process (an empty one is not).
    """

    served: Served
    root: Path
    home: Path
    python: Path
    model: Path
    environment: Environment
    variables: dict[str, str]
    kit: Kit
    known: tuple[Any, Any]
    settings: ServingSpec = ServingSpec()
    engine: Mapping[str, Any] = MappingProxyType({})
