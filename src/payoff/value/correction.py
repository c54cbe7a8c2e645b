"""The correction that `calibration` found, applied: what a server does at each request, without what finding it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.records.evidence import Calibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def corrected(calibration: Calibration, chances: Mapping[str, Floats]) -> dict[str, Floats]:
    """Probabilities, per outcome (n,), after the correction.

    >>> halved = Calibration(weights={"yes": 1.0, "no": 1.0}, intercepts={"yes": float(np.log(0.25)), "no": 0.0}, floor=1e-9)
    >>> corrected(halved, {"yes": np.array([0.8]), "no": np.array([0.2])})["yes"].round(3).tolist()
    [0.5]
    """
    logs = {
        name: calibration.weights[name] * np.log(np.maximum(chance, calibration.floor)) + calibration.intercepts[name]
        for name, chance in chances.items()
    }
    highest = np.max(list(logs.values()), axis=0)
    odds = {name: np.exp(log - highest) for name, log in logs.items()}
    total = np.sum(list(odds.values()), axis=0)
    return {name: each / total for name, each in odds.items()}
