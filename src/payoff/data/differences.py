"""How many rows of two versions of a table differ, and in which columns, as a query. No value leaves the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.data.names import column, value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.records.charter import Charter

A, B = "a", "b"


def unique(keys: Sequence[str]) -> str:
    """Whether the key is one in both versions (`a`, `b`): one row, `yes`."""
    listed = ", ".join(map(column, keys))
    missing = " or ".join(f"{column(each)} is null" for each in keys)
    counts = " + ".join(
        f"(select count(*) - count(distinct ({listed})) + count(*) filter ({missing}) from {side})" for side in (A, B)
    )
    return f"select ({counts}) = 0 as yes"


def by_key(keys: Sequence[str], shared: Sequence[str]) -> str:
    """Rows added, removed and changed, and per column of `shared` (which the key is not among) how many rows have another value: one row."""
    on = " and ".join(f"a.{column(each)} = b.{column(each)}" for each in keys)
    first = column(keys[0])
    both = f"a.{first} is not null and b.{first} is not null"
    other = [f"a.{column(each)} is distinct from b.{column(each)}" for each in shared]
    parts = [
        f"count(*) filter (a.{first} is null) as added",
        f"count(*) filter (b.{first} is null) as removed",
        f"count(*) filter ({both} and ({' or '.join(other)})) as changed" if other else "0 as changed",
        *(f"count(*) filter ({both} and {each}) as c{number}" for number, each in enumerate(other)),
    ]
    return f"select {', '.join(parts)} from a full outer join b on {on}"


def as_wholes(shared: Sequence[str]) -> str:
    """Rows of these columns that only one of the two has, counted as often as they occur: one row, `added` and `removed`."""
    listed = ", ".join(map(column, shared))

    def only(one: str, other: str) -> str:
        return f"(select count(*) from (select {listed} from {one} except all select {listed} from {other}))"

    return f"select {only(B, A)} as added, {only(A, B)} as removed"


def schema(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[str, ...]:
    """Columns (name -> type) that only one of the two has, or have another type, in words."""
    said = [f"{name} is in B only" for name in b if name not in a]
    said += [f"{name} is in A only" for name in a if name not in b]
    return (*said, *(f"{name}: {a[name]} -> {b[name]}" for name in a if name in b and a[name] != b[name]))


def shared(a: Mapping[str, str], b: Mapping[str, str], keys: Sequence[str] = ()) -> list[str]:
    """Columns that both have with the same type, the key left out: values of two types cannot be held against each other."""
    return [name for name in a if a[name] == b.get(name) and name not in keys]


def counts(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, int]:
    """Column -> rows with another value, of the answer of `by_key`."""
    found = {name: int(row[f"c{number}"]) for number, name in enumerate(columns)}
    return {name: number for name, number in found.items() if number}


def decisions(charter: Charter) -> str:
    """What the same decisions brought in two runs, in B's money: `then`, `now` and `unit`, a row for each that both made with the same outcome.

    `a` and `b` are their predictions, `e` B's examples. `then` is null for an action of A that B's charter does not have. `unit` is what decisions
    that hang together share (null where each stands alone), or their second where the split is by time.
    """
    split, key = charter.split, column(charter.decision.id)
    on = f"e.{column(split.on)}"
    unit = (
        f"epoch(cast({on} as timestamp))" if split.by == "time" else on if split.on != charter.decision.id else "null"
    )
    examples = f" join e on e.{key} = b.id" if unit != "null" else ""

    def paid(side: str) -> str:
        if charter.quantity is not None:
            return f"{side}.payoff"  # only to be asked for where both charters pay the same
        cases = " ".join(f"when {value(each)} then b.{column(f'payoff_{each}')}" for each in charter.actions)
        return f"case {side}.action {cases} end"

    return (
        f'select {paid("a")} as "then", {paid("b")} as now, {unit} as unit '
        f"from b join a on a.id = b.id and a.outcome = b.outcome{examples} order by b.id"
    )
