"""Are probabilities what they say? Found out, and corrected where they are not, on rows that the model did not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from payoff.records.evidence import Calibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEVEL = 0.01  # of the test that nothing needs correction
_MOST = 200_000  # rows; more say the same
_LOWEST, _HIGHEST = 1e-9, 1e-3
_STEEPEST, _FARTHEST = 50.0, 50.0


def examine(chances: Mapping[str, Floats], outcomes: Codes) -> Calibration:
    """How far probabilities, per outcome (n,), are from what happened, (n,) codes in the same order; and the correction where they are.

    The correction multiplies odds: each probability p becomes exp(w log p + b) over the sum of all, with one w >= 0 and one b per outcome,
    fitted by maximum likelihood. With two outcomes this is beta calibration (Kull, Silva Filho, Flach 2017, "Beyond sigmoids", Electronic
    Journal of Statistics 11), with more Dirichlet calibration with a diagonal matrix (Kull et al. 2019, NeurIPS). It keeps the order of
    each outcome's probabilities (with two outcomes) and holds the identity: w = 1, b = 0. Whether that is what it should be is tested by the
    likelihood ratio, chi-squared with 2 k - 1 degrees of freedom; only when it is not, at a level of 1 %, is anything corrected: a
    correction that is not needed adds noise.

    Probabilities are kept above half of the smallest that is not zero (and between 10^-9 and 10^-3): of a zero no odds can be computed.
    """
    given = np.stack(list(chances.values()), axis=1)
    if len(given) > _MOST:
        kept = np.linspace(0, len(given) - 1, _MOST).astype(np.int64)
        given, outcomes = given[kept], outcomes[kept]
    n, k = given.shape
    positive = given[given > 0]
    floor = float(np.clip(positive.min() / 2, _LOWEST, _HIGHEST)) if positive.size else _HIGHEST
    logs = np.log(np.maximum(given, floor))
    came = np.eye(k)[outcomes]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, intercepts = parameters[:k], np.append(parameters[k:], 0.0)
        log = logs * weights + intercepts
        log -= log.max(axis=1, keepdims=True)
        chance = np.exp(log)
        total = chance.sum(axis=1, keepdims=True)
        value = float((np.log(total[:, 0]) - (log * came).sum(axis=1)).mean())
        far = (chance / total - came) / n
        return value, np.concatenate([(far * logs).sum(axis=0), far.sum(axis=0)[:-1]])

    start = np.concatenate([np.ones(k), np.zeros(k - 1)])
    bounds = [(0.0, _STEEPEST)] * k + [(-_FARTHEST, _FARTHEST)] * (k - 1)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    before, after = loss(start)[0], float(found.fun)
    statistic = max(0.0, 2 * n * (before - after))
    p_value = float(special.gammaincc((2 * k - 1) / 2, statistic / 2))
    weights, intercepts = found.x[:k].tolist(), [*found.x[k:].tolist(), 0.0]
    return Calibration(
        rows=n,
        applied=p_value < LEVEL,
        p_value=p_value,
        weights=dict(zip(chances, weights, strict=True)),
        intercepts=dict(zip(chances, intercepts, strict=True)),
        floor=floor,
        log_loss=before,
        corrected_log_loss=after,
    )
