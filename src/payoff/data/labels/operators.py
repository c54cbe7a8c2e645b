"""The reviewed operators that lower a label, as SQL around the query that makes a table. The product applies them, so that nobody can forget to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import UserError, Where
from payoff.data.names import column, value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from payoff.records.contract import Contract
    from payoff.records.label import Lowering


def wrap(sql: str, columns: Sequence[str], contract: Contract | None, secret: Callable[[str], str | None]) -> str:
    """The query with its contract's operators applied to its answer; as it is when there are none.

    `columns` are the query's. `secret` gives the environment variable of a name, None when it is not set. The answer holds secrets: it goes to the engine, into no record.
    """
    if contract is None:
        return sql
    found = {name: lowering for name, lowering in contract.applied.items() if name in columns}
    if not found:
        return sql
    keys = _keys(contract, found, secret)
    parts = [
        _column(name, found.get(name), keys) for name in columns if name not in found or found[name].operator != "drop"
    ]
    if not parts:
        raise UserError(
            f"the contract of {contract.table} drops all of its columns",
            code="PO-F012",
            expected="a table with a column",
            remedy=f"let a column stay in {contract.file}, then: payoff check",
            where=Where(contract.file),
        )
    return f"select {', '.join(parts)} from (\n{sql.strip().rstrip(';').rstrip()}\n) as lowered_"


def _keys(contract: Contract, found: Mapping[str, Lowering], secret: Callable[[str], str | None]) -> dict[str, str]:
    keys = {}
    for lowering in found.values():
        if not lowering.key:
            continue
        given = secret(lowering.key)
        if given is None or len(given) < 16:
            raise UserError(
                f"the key for {lowering.operator} in the contract of {contract.table} is not there"
                if given is None
                else f"the key for {lowering.operator} in the contract of {contract.table} is too short to keep anything secret",
                code="PO-F011",
                expected=f"the environment variable {lowering.key}, 16 characters or more",
                remedy=f"export {lowering.key}=..., the same at each run, then run again",
                where=Where(contract.file, lowering.line),
            )
        keys[lowering.key] = given
    return keys


def _column(name: str, lowering: Lowering | None, keys: Mapping[str, str]) -> str:
    quoted = column(name)
    if lowering is None:
        return quoted
    return f"{_operator(quoted, lowering, keys.get(lowering.key, ''))} as {quoted}"


def _operator(name: str, lowering: Lowering, key: str) -> str:
    if lowering.operator == "hash":
        return f"case when {name} is null then null else {_keyed(f'cast({name} as varchar)', key)} end"
    if lowering.operator == "mask":
        text = f"cast({name} as varchar)"
        # Short texts show nothing at all, and the length is not shown either.
        shown = f"case when length({text}) >= {3 * lowering.keep} then right({text}, {lowering.keep}) else '' end"
        return f"case when {name} is null then null else '***' || {shown if lowering.keep else repr('')} end"
    if lowering.operator == "generalise":
        if lowering.unit:
            return f"date_trunc({value(lowering.unit)}, {name})"
        width = f"{lowering.width:.17g}"
        return f"floor({name} / {width}) * {width}"
    return _noise(name, lowering, key)


def _keyed(text: str, key: str) -> str:
    """A hash that nobody without the key can make or look up: the two nested hashes of HMAC (RFC 2104), over texts."""
    return f"sha256({value('o' + key)} || sha256({value('i' + key)} || {text}))"


def _noise(name: str, lowering: Lowering, key: str) -> str:
    """Laplace noise of scale (high - low) / epsilon on values cut to [low, high] (Dwork et al., 2006), for each row on its own.

    It comes out of a keyed hash of the row: the same row has the same noise in every run, so that running again shows nothing more.
    """
    # Noise of another column or another scale is drawn anew: two that hang together would cancel out.
    drawn = value(f"{name}|{lowering.epsilon:.17g}|{lowering.low:.17g}|{lowering.high:.17g}|")
    # 52 bits, and half a step off both ends: never 0, so that the logarithm is finite.
    bits = f"cast('0x' || left({_keyed(f'{drawn} || cast(lowered_ as varchar)', key)}, 13) as bigint)"
    uniform = f"(({bits} + 0.5) / 4503599627370496.0 - 0.5)"
    low, high = f"{lowering.low:.17g}", f"{lowering.high:.17g}"
    scale = f"{((lowering.high or 0.0) - (lowering.low or 0.0)) / lowering.epsilon:.17g}"
    kept = f"greatest({low}, least({high}, cast({name} as double)))"
    return (
        f"case when {name} is null then null else {kept} - {scale} * sign({uniform}) * ln(1 - 2 * abs({uniform})) end"
    )
