"""Names as codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def encode(names: NDArray[Any], codes: Mapping[str, int]) -> NDArray[np.int64]:
    """Each name's code; a name without a code is a `KeyError` (they were looked for before).

    >>> encode(np.array(["b", "a"]), {"a": 0, "b": 1}).tolist()
    [1, 0]
    """
    found, positions = np.unique(names.astype(str), return_inverse=True)
    table = np.array([codes[name] for name in found.tolist()], dtype=np.int64)
    return np.asarray(table[positions], dtype=np.int64)
