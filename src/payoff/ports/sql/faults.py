"""What goes wrong with a source of SQL, in our words: no value of a row and no secret is left in what a server says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of what a server says in quotes, the names of things stay; anything else may be a value of a row.
_NAMED = re.compile(
    r"\b(relation|column|schema|function|type|role|table|database|view|near|operator|user|object|dataset|project|warehouse|field) "
    r"(?:named |name )?([\"'`])([^\"'`]*)\2",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"]*\"|'(?:[^']|'')*'|`[^`]*`")
_LONG = 240


class Faults:
    """One method for each thing that goes wrong; `system` is the product's name in messages."""

    system: ClassVar[str]

    def __init__(
        self, name: str, *, path: Sequence[str], query: str, timeout: float, secrets: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.path = [part for part in path if part]
        self.query = query.strip().rstrip(";")
        self.timeout = timeout
        self._secrets = [secret for secret in secrets if secret]

    def address(self) -> str:
        """Where the server is, without secrets."""
        return self.system

    def tables(self) -> list[str]:
        """Names of the tables beside the one that is not there; may fail."""
        return []

    def said(self, text: str) -> str:
        """A server's words without secrets, and with only the names of things left in quotes."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        text = re.sub(r"(://)[^@/\s]*@", r"\1", " ".join(text.split()))
        kept = _NAMED.sub("\\1 \u2039\\3\u203a", text)
        return _QUOTED.sub("…", kept).replace("\u2039", '"').replace("\u203a", '"')[:_LONG]

    def no_table(self) -> PayoffError:
        """The table is not there; the nearest that is is named, where the server lists them."""
        if self.query:
            return self.wrong("a table of the query is not there")
        try:
            names = self.tables()
        except Exception:
            names = []
        return UserError(
            f"source {self.name}: {self.system} has no table {'.'.join(self.path)} that this user may read",
            code="PO-S040",
            expected=did_you_mean(self.path[-1], names) if names else "the name of a table or view",
            remedy=f"correct table in [sources.{self.name}] of payoff.toml",
        )

    def refused(self) -> PayoffError:
        """Who asks is not let in."""
        return UserError(
            f"source {self.name}: {self.system} refused the credentials",
            code="PO-S041",
            expected="credentials that may connect",
            remedy=f"check the environment variables that [sources.{self.name}] of payoff.toml refers to",
        )

    def unreachable(self) -> PayoffError:
        """Nobody answers there."""
        return OutsideError(
            f"source {self.name}: {self.system} cannot be reached",
            code="PO-S042",
            expected=f"a server that answers at {self.address()}",
            remedy=f"check the address in [sources.{self.name}] of payoff.toml and that the server runs, then run again",
            retryable=True,
        )

    def wrong(self, text: str) -> PayoffError:
        """The server does not do what it is asked."""
        return UserError(
            f"source {self.name}: {self.system} said: {self.said(text) or 'no'}",
            code="PO-S043",
            expected="a table or query that this user may read",
            remedy=f"correct [sources.{self.name}] of payoff.toml, or have the right granted",
        )

    def broke(self) -> PayoffError:
        """The rows stopped coming before the end."""
        return OutsideError(
            f"source {self.name}: the connection to {self.system} broke before all rows were read",
            code="PO-S044",
            expected="all rows; nothing of what came is used",
            remedy="see that server and network stay up, then run again",
            retryable=True,
        )

    def slow(self) -> PayoffError:
        """Nothing came for too long."""
        return OutsideError(
            f"source {self.name}: {self.system} sent nothing for {self.timeout:g} seconds",
            code="PO-S045",
            expected=f"an answer within timeout = {self.timeout:g}",
            remedy=f"run again, or set a larger timeout in [sources.{self.name}] of payoff.toml (0: wait for ever)",
            retryable=True,
        )

    def changed(self, column: str) -> PayoffError:
        """The table is another one than a moment ago."""
        return OutsideError(
            f"source {self.name}: {f'column {column}' if column else 'the table'} changed while it was read",
            code="PO-S046",
            expected="the columns and types that the table had when the read began",
            remedy="run again once the change is through",
            retryable=True,
        )

    def unreadable(self, column: str, kind: str) -> PayoffError:
        """A value has no place in its column's type."""
        return UserError(
            f"source {self.name}: a value in column {column} is no {kind}",
            code="PO-S047",
            expected=f"{kind} or nothing in every row",
            remedy=f"correct these rows, or read them with query = 'select cast(...)' in [sources.{self.name}] of payoff.toml",
        )

    def unfit(self, column: str, kind: str) -> PayoffError:
        """A value of a query's answer has no place in its column's type."""
        return OutsideError(
            f"source {self.name}: a value of {column} does not fit into {kind}",
            code="PO-S034",
            expected=f"{kind} in every row of the query's answer",
            remedy=f'cast {column} to a larger type in the step, or set push = "never" in [sources.{self.name}]',
        )
