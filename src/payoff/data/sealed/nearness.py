"""How far two tables of numbers are from each other, row by row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pathlib import Path


def farthest(found: Path, known: Path) -> float:
    """The largest difference of two Arrow IPC files: of a number above 1 as a share of it, infinite where one has a number and the other none.

    Infinite, too, where their columns or their numbers of rows differ.
    """
    with pa.memory_map(str(found)) as one, pa.memory_map(str(known)) as other:
        return apart(pa.ipc.open_file(one).read_all(), pa.ipc.open_file(other).read_all())


def apart(found: pa.Table, known: pa.Table) -> float:
    """The same of two tables.

    >>> apart(pa.table({"p": [0.5, 200.0]}), pa.table({"p": [0.25, 100.0]}))
    1.0
    >>> apart(pa.table({"p": [0.5, math.nan]}), pa.table({"p": [0.25, math.nan]}))
    0.25
    >>> apart(pa.table({"p": [0.5, 1.0]}), pa.table({"p": [0.25, math.nan]}))
    inf
    >>> apart(pa.table({"p": [0.5]}), pa.table({"q": [0.5]}))
    inf
    """
    if found.column_names != known.column_names or found.num_rows != known.num_rows:
        return math.inf
    most = 0.0
    for name in known.column_names:
        ours, theirs = (pc.fill_null(pc.cast(each[name], pa.float64()), math.nan) for each in (found, known))
        scale = pc.max_element_wise(pc.abs(theirs), 1.0, skip_nulls=False)
        far = pc.divide(pc.abs(pc.subtract(ours, theirs)), scale)
        far = pc.if_else(pc.is_nan(far), math.inf, far)
        same = pc.or_(pc.and_(pc.is_nan(ours), pc.is_nan(theirs)), pc.equal(ours, theirs))  # of equal infinities, too
        most = max(most, pc.max(pc.if_else(same, 0.0, far)).as_py() or 0.0)
    return most
