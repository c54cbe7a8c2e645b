"""Point-in-time joins: to each row what was known, of other tables, at the row's own time."""

from __future__ import annotations

import msgspec

_ROWS, _NUMBER, _SEEN, _VALID, _RANK = "payoff rows", "payoff row", "payoff seen", "payoff valid", "payoff rank"


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """A table of facts. `by` pairs columns of the rows with columns of the facts; `valid` is the time from which a fact holds, `known` that at
    which it arrived (empty: facts arrive when they begin to hold). `within` is the greatest age in seconds. `columns` are taken over, each under
    `prefix` + its name.
    """

    table: str
    by: tuple[tuple[str, str], ...]
    valid: str
    columns: tuple[str, ...]
    known: str = ""
    within: int | None = None
    prefix: str = ""
    line: int = 0


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """To each row of `rows` at its time `at` the newest fact of each table in `as_of` that held by then and was known by then. `file` and `line`: where it is declared."""

    name: str
    rows: str
    at: str
    as_of: tuple[AsOf, ...]
    line: int = 0
    file: str = "payoff.toml"

    def sql(self, columns: tuple[str, ...] = ()) -> str:
        """The join as a query in the engine's dialect. `columns` are those of the rows, where they are known: then the query has no star.

        A fact can be seen from the later of its two times on. Of the facts seen by then the newest is wanted; so one that is not newer than
        another which could be seen as early is left out, and of the rest the last that could be seen is the newest. That is what `asof join` finds,
        in one pass over both tables.
        """
        facts = [f"{_quoted(_facts(number))} as ({_seen(each)})" for number, each in enumerate(self.as_of)]
        numbered = f"select *, row_number() over () as {_quoted(_NUMBER)} from {_quoted(self.rows)}"
        listed = ", ".join(f"l.{_quoted(name)}" for name in columns) if columns else f"l.* exclude ({_quoted(_NUMBER)})"
        taken = [self._taken(number, each) for number, each in enumerate(self.as_of)]
        joins = [self._joined(number, each) for number, each in enumerate(self.as_of)]
        lines = [
            f"with {_quoted(_ROWS)} as ({numbered})",
            *(f", {each}" for each in facts),
            f"select {', '.join([listed, *taken])}",
            f"from {_quoted(_ROWS)} as l",
            *joins,
            f"order by l.{_quoted(_NUMBER)}",
        ]
        return "\n".join(lines)

    def _taken(self, number: int, facts: AsOf) -> str:
        parts = []
        for name in facts.columns:
            value = f"f{number}.{_quoted(name)}"
            if facts.within is not None:
                oldest = f"l.{_quoted(self.at)} - interval '{facts.within} seconds'"
                value = f"case when f{number}.{_quoted(_VALID)} >= {oldest} then {value} end"
            parts.append(f"{value} as {_quoted(facts.prefix + name)}")
        return ", ".join(parts)

    def _joined(self, number: int, facts: AsOf) -> str:
        keys = [
            f"l.{_quoted(left)} = f{number}.{_quoted(f'payoff key {place}')}"
            for place, (left, _) in enumerate(facts.by)
        ]
        on = " and ".join([*keys, f"l.{_quoted(self.at)} >= f{number}.{_quoted(_SEEN)}"])
        return f"asof left join {_quoted(_facts(number))} as f{number} on {on}"


def _seen(facts: AsOf) -> str:
    """The facts that are the newest from some moment on, each with that moment."""
    valid, known = _quoted(facts.valid), _quoted(facts.known)
    seen = f"greatest({valid}, {known})" if facts.known else valid
    keys = [f"{_quoted(right)} as {_quoted(f'payoff key {place}')}" for place, (_, right) in enumerate(facts.by)]
    there = [f"{name} is not null" for name in ((valid, known) if facts.known else (valid,))]
    order = ", ".join(
        [valid, *([known] if facts.known else []), *(f"{_quoted(name)} nulls first" for name in facts.columns)]
    )
    by = ", ".join(_quoted(f"payoff key {place}") for place in range(len(facts.by)))
    parted = f"partition by {by} " if by else ""
    parted_raw = f"partition by {', '.join(_quoted(right) for _, right in facts.by)} " if by else ""
    columns = [_quoted(name) for name in facts.columns]
    inner = ", ".join(
        [
            *keys,
            f"{valid} as {_quoted(_VALID)}",
            f"{seen} as {_quoted(_SEEN)}",
            f"row_number() over ({parted_raw}order by {order}) as {_quoted(_RANK)}",
            *columns,
        ]
    )
    outer = ", ".join(
        [
            *(_quoted(f"payoff key {place}") for place in range(len(facts.by))),
            _quoted(_VALID),
            _quoted(_SEEN),
            *columns,
        ]
    )
    newest = f"max({_quoted(_RANK)}) over ({parted}order by {_quoted(_SEEN)} range between unbounded preceding and current row)"
    source = f"select {inner} from {_quoted(facts.table)} where {' and '.join(there)}"
    return f"select {outer} from ({source}) as ranked qualify {_quoted(_RANK)} = {newest}"


def _facts(number: int) -> str:
    return f"payoff facts {number}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
