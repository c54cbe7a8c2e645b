"""Our errors as Flight has them: the message for whoever reads it, the parts for our own source adapter."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec
from pyarrow import flight

from payoff.base.errors import Bug, OutsideError, PayoffError, Refused, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ReadOnly(UserError):
    """Something that writes, or that only clients which write ask for."""

    def __init__(self, asked: str) -> None:
        super().__init__(
            f"the gateway reads only; it has no {asked[:100]}",
            code="PO-H016",
            expected="a table, or a query",
            remedy="write to a sink of a project, in the zone that it belongs to",
        )


def flown(error: PayoffError) -> Exception:
    """The error to raise in a Flight method."""
    kinds = (
        (Refused, flight.FlightUnauthorizedError),
        (UserError, flight.FlightServerError),
        (OutsideError, flight.FlightUnavailableError),
    )
    made = next((flown for ours, flown in kinds if isinstance(error, ours)), flight.FlightInternalError)
    # The place in a file of the other zone, and its next command, are of no use to the reader.
    parts = {"code": error.code, "what": error.what, "expected": error.expected, "remedy": error.remedy}
    text = f"{error.code}: {error.what} (expected: {error.expected}; try: {error.remedy})"
    # Clients go other ways where they hear that something is not there at all.
    return NotImplementedError(text) if isinstance(error, ReadOnly) else made(text, msgspec.json.encode(parts))


@contextlib.contextmanager
def said() -> Iterator[None]:
    """Ours become Flight's; of what nobody foresaw only the kind is said, as its words may hold anything."""
    try:
        yield
    except PayoffError as error:
        raise flown(error) from None
    except (flight.FlightError, NotImplementedError):
        raise
    except Exception as error:  # the reader is told, and the gateway goes on
        raise flown(
            Bug(
                f"the gateway failed ({type(error).__name__})",
                code="PO-H019",
                expected="an answer, or an error in words",
                remedy="report it, with what was asked; the gateway goes on",
            )
        ) from None
