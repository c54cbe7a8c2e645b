"""Where tables are written to."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Protocol

from payoff.base.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from payoff.records.artifact import Artifact, Written


class Sink(Protocol):
    """One place outside that holds one table of the project. Made by wiring from the adapter's `Options`; nothing is opened before a method is called.

    A write is atomic: whoever reads sees the table of before or the new one, and a kill at any moment leaves one of them (a sink that cannot
    do so, as a log of messages, says in its documentation what it does instead). It is idempotent: the same table written again, after a kill too,
    is there once. Two writers at once do not mix their rows: one comes after the other, and where both write the same table, the second finds it
    there `already`. Methods may be called from any thread, one at a time; what a method opens it closes. Sinks do not retry: they raise
    `OutsideError` with `retryable` where trying again may help, and `UserError` where the address, a right or a column's type is wrong. No
    message holds a data value or a secret.
    """

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """Make the table there the one that `artifact` names (its id, rows and columns), whose rows `reader` gives once. The caller closes the reader."""
        ...

    def written(self) -> str | None:
        """The id of the table that is there now; None when there is none of ours, or somebody changed it since."""
        ...

    def describe(self) -> dict[str, Any]:
        """The address without secrets: at least `kind` and `address`, and `watch` (local paths) where files tell whether it changed."""
        ...


MODES = ("replace", "append", "merge")


def check_mode(sink: str, mode: str, keys: Sequence[str]) -> None:
    """Refuse options that say not how rows are to be written: `merge` needs keys, the other modes take none."""
    if mode not in MODES or (mode == "merge") != bool(keys):
        raise UserError(
            f"sink {sink}: mode is {mode!r} and keys names {len(keys)} columns",
            code="PO-N005",
            expected='mode = "replace", "append", or "merge" with keys = ["id"]',
            remedy=f"correct [sinks.{sink}] of payoff.toml",
        )


def refuse_unjson(sink: str, schema: pa.Schema) -> None:
    """Refuse columns that JSON has no way to write."""
    import pyarrow as pa  # noqa: PLC0415 - ports cost nothing until rows come

    of = pa.types
    for field in schema:
        kind = field.type
        if of.is_map(kind) or of.is_binary(kind) or of.is_large_binary(kind) or of.is_duration(kind):
            raise unfit(
                sink, field.name, str(kind), "values that JSON has, dates, times and decimals (written as text)"
            )


def json_rows(sink: str, reader: pa.RecordBatchReader) -> Iterator[str]:
    """Each row as a JSON object; NaN and infinity are refused, for JSON has neither."""
    for batch in reader:
        for row in batch.to_pylist():
            try:
                yield json.dumps(row, ensure_ascii=False, allow_nan=False, default=str)
            except ValueError:
                odd = (name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value))
                raise UserError(
                    f"sink {sink}: the column {next(odd, 'of lists')} holds NaN or infinity, which JSON does not have",
                    code="PO-N003",
                    expected="numbers, or NULL",
                    remedy=f"make them NULL in a step that [sinks.{sink}] takes",
                ) from None


def unfit(sink: str, column: str, kind: str, expected: str) -> UserError:
    """The error of a column that a sink cannot hold as it is."""
    return UserError(
        f"sink {sink} cannot hold the column {column}, which is {kind}",
        code="PO-N001",
        expected=expected,
        remedy=f"cast {column} in a step (or leave it out), and write that step's table to [sinks.{sink}]",
    )


def taken(sink: str, where: str) -> UserError:
    """The error of a place where something lies that Payoff did not put there."""
    return UserError(
        f"sink {sink}: at {where} is something that Payoff did not write",
        code="PO-N004",
        expected="a place that is free, or holds what this sink wrote before",
        remedy=f"name another place in [sinks.{sink}], or write adopt = true there: what lies there is replaced then",
    )
