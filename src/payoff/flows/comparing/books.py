"""The laboratory's books: what was computed by the project or by the laboratory is known, what is computed now is written down apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from payoff.base import hashing
from payoff.records.state import Remembered, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payoff.ports.ledger import Ledger, Readout
    from payoff.records.run import Entry, RunRecord

MADE = "made"
Again = Literal["stale", "varying", "everything"]
# What comes out the same whenever it is made of the same: tables that are read, held against their contracts, cut.
_SETTLED = ("read:", "check:", "split", "set aside", "leaks")


class Books:
    """See `ports.ledger.Ledger`; `again` says what is executed although it was before.

    A look at the holdout is not written down: whoever executes an earlier run again decides nothing by it that its own look did not count.
    The intervals are those of `looks` looks. With `apart`, facts that are in no key, only what was made with the same facts is known. What is executed again, to see whether it varies, is not remembered either: whoever asks
    next gets what the first execution gave.
    """

    def __init__(
        self, own: Ledger, projects: Ledger, *, looks: int, again: Again, apart: Mapping[str, str] | None = None
    ) -> None:
        self._own = own
        self._projects = projects
        self._looks = looks
        self._again = again
        self._apart = dict(apart or {})

    def state(self, project: str) -> State:
        """Nothing is known of what was last: there is no last in a laboratory."""
        del project
        return State()

    def recall(self, keys: Iterable[str]) -> dict[str, Remembered]:
        """Finished outcomes by key, the laboratory's or the project's."""
        if self._again == "everything":
            return {}
        wanted = {self._key(key): key for key in keys}
        before = {} if self._apart else self._projects.recall(wanted)
        found = {wanted[key]: each for key, each in {**before, **self._own.recall(wanted)}.items()}
        if self._again == "stale":
            return found
        return {key: each for key, each in found.items() if each.step.startswith(_SETTLED)}

    def journal(self, project: str, run: str, event: str, body: dict[str, Any]) -> int:
        """Write down a finished step; looks are not counted."""
        if event == "look":
            return self._looks
        if (
            event == "epsilon"
        ):  # what is executed here and noised is held against a budget, too: apart from the project's
            return self._own.journal(project, run, event, body)
        if event == "step" and self._again == "stale":
            return self._own.journal(project, run, event, {**body, "key": self._key(str(body["key"]))})
        if event == "step":
            # Not to be recalled; but whoever erases what is kept for too long has to know of it.
            return self._own.journal(project, run, MADE, body)
        return 0

    def _key(self, key: str) -> str:
        return hashing.of_json([key, self._apart]) if self._apart else key

    def append(self, record: RunRecord) -> Entry:
        """Add a record to the laboratory's ledger."""
        return self._own.append(record)

    def read(self, project: str, run: str | None = None, limit: int = 50, event: str | None = None) -> Readout:
        """What the laboratory's ledger says."""
        return self._own.read(project, run, limit, event)
