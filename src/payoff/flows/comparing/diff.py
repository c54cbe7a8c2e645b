"""`payoff diff A B`: only what differs between two runs, in their results first, then in what they were made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.errors import PayoffError
from payoff.data import differences
from payoff.flows.comparing import hybrids, laboratory
from payoff.flows.comparing.paid import paid
from payoff.flows.comparing.place import Place, find_anywhere
from payoff.flows.comparing.rebuilding import rebuild, sides
from payoff.flows.opening import open_past
from payoff.records.answers.diff import Code, Diff, Fact, Number, Rows
from payoff.reproduction.factors import factors
from payoff.reproduction.splicing.texts import differences as texts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from payoff.flows.comparing.rebuilding import Rebuilt
    from payoff.flows.opening import Past
    from payoff.records.artifact import Artifact
    from payoff.records.run import RunRecord

_OWN = ("code:", "data:")
# Facts of a fingerprint that are factors, or said elsewhere.
_BY_FILE = {"cuda", "system"}  # libraries that have little in common but their kind
_SAID = {"environment", "libc", "packages", "seed", "hash_seed", "threads", "deterministic"}


def diff(project: str | None, a: str, b: str) -> Diff:
    """Hold two runs against each other. What is gone (a commit, a snapshot) is said, and the rest answered all the same."""
    past = open_past(project)
    first, last = find_anywhere(past, a), find_anywhere(past, b)
    if first.run == last.run:
        return Diff(a=first.run, b=last.run, notes=("A and B are the same run.",))
    notes: list[str] = []
    answer = Diff(
        a=first.run,
        b=last.run,
        outcome=_outcome(first, last),
        results=_results(first, last),
        machine=_machine(first, last),
        gain_before=first.valuation.gain if first.valuation is not None else None,
        gain_after=last.valuation.gain if last.valuation is not None else None,
        refused=tuple(each for each in last.verdicts if not each.passed),
    )
    with Place(past) as place:
        built = []
        for record in (first, last):
            try:
                built.append(rebuild(place, record))
            except PayoffError as error:
                notes.append(
                    f"The code of {record.run} and what hangs on it cannot be compared ({error.code}): {error.what}."
                )
        data = _data(past, first, last, built)
        if len(built) < 2:
            said = (note for side in built for note in side.notes)
            return msgspec.structs.replace(answer, data=data, notes=(*notes, *said))
        change = paid(past, *built)
        found = factors(*sides(place, *built))
        parts = [each.name for each in found if each.id.startswith("code:")]
        files = [hybrids.code_of(each.root) for each in built]
        return msgspec.structs.replace(
            answer,
            data=data,
            code=tuple(
                Code(name=name, state=state, diff=text) for name, state, text in texts(files[0], files[1], parts)
            ),
            factors=tuple(each for each in found if not each.id.startswith(_OWN)),
            change=None if isinstance(change, str) else change,
            apart=change if isinstance(change, str) else "",
            notes=(*notes, *built[0].notes, *(note for note in built[1].notes if note not in built[0].notes)),
        )


# -- results


def _outcome(first: RunRecord, last: RunRecord) -> tuple[Fact, ...]:
    found = []
    if first.status != last.status:
        found.append(Fact(name="the run", a=first.status, b=last.status))
    gates = [{each.gate: each for each in record.verdicts} for record in (first, last)]
    for name in [*gates[0], *(name for name in gates[1] if name not in gates[0])]:
        said = [_verdict(each.get(name)) for each in gates]
        if said[0] != said[1]:
            found.append(Fact(name=f"gate {name}", a=said[0], b=said[1]))
    failed = [laboratory.failure(record) if record.status == "failed" else "" for record in (first, last)]
    if failed[0] != failed[1]:
        found.append(Fact(name="failure", a=failed[0] or "none", b=failed[1] or "none"))
    return tuple(found)


def _verdict(verdict: Any) -> str:
    return "not asked" if verdict is None else "passed" if verdict.passed else "refused"


def _results(first: RunRecord, last: RunRecord) -> tuple[Number, ...]:
    old, new = laboratory.metrics(first), laboratory.metrics(last)
    currency = next((each.valuation.currency for each in (first, last) if each.valuation is not None), "")
    found = []
    for name in sorted(old.keys() | new.keys(), key=lambda name: (_rank(name), name)):
        plain = name.partition(".")[2]
        if plain in old and plain in new and (old.get(plain), new.get(plain)) == (old.get(name), new.get(name)):
            continue  # a step's metric goes by its own name, too
        if old.get(name) != new.get(name):
            unit = currency if _rank(name) < 2 else ""
            found.append(Number(name=name, a=old.get(name), b=new.get(name), unit=unit))
    return tuple(found)


def _rank(name: str) -> int:
    """Money first."""
    return 0 if name == laboratory.GAIN else 1 if name.startswith(laboratory.PER_YEAR) else 2


# -- data


def _data(past: Past, first: RunRecord, last: RunRecord, sides: list[Rebuilt]) -> tuple[Rows, ...]:
    """Tables of sources; where the project of then is not to be had, every table that no step is known to have made."""
    made = {outcome.name for record in (first, last) for outcome in record.steps} | {"train"}
    if sides:
        names = {source.table for side in sides for source in side.project.sources}
    else:
        names = (first.tables.keys() | last.tables.keys()) - made
    found = []
    for name in sorted(names):
        old, new = first.tables.get(name), last.tables.get(name)
        if old is None and new is None:
            continue
        if old is None or new is None:
            note = f"only {'B' if old is None else 'A'} read it"
            found.append(
                Rows(table=name, a_rows=old.rows if old else None, b_rows=new.rows if new else None, note=note)
            )
        elif old.id != new.id:
            found.append(_rows(past, name, old, new, _keys(name, sides)))
    return tuple(found)


def _keys(table: str, sides: list[Rebuilt]) -> tuple[str, ...]:
    """The columns that a contract calls its primary key, or unique, else the id of the decisions."""
    for side in reversed(sides):
        contract = side.project.contract(table)
        if contract is not None:
            primary = tuple(each.name for each in contract.columns if each.primary_key)
            unique = tuple(each.name for each in contract.columns if each.unique)[:1]
            if primary or unique:
                return primary or unique
    return tuple(dict.fromkeys(side.project.charter.decision.id for side in sides))[:1]


def _rows(past: Past, table: str, old: Artifact, new: Artifact, keys: tuple[str, ...]) -> Rows:
    a, b = ({each.name: each.type for each in artifact.fields} for artifact in (old, new))
    said = Rows(table=table, a_rows=old.rows, b_rows=new.rows, schema=differences.schema(a, b))
    store, engine = past.kit.store, past.kit.engine
    gone = [name for name, each in (("A", old), ("B", new)) if not store.has(each)]
    if gone:
        return msgspec.structs.replace(
            said, note=f"the snapshot of {' and '.join(gone)} is no longer in the store: rows cannot be compared"
        )
    files = {differences.A: store.path(old), differences.B: store.path(new)}
    known = bool(keys) and all(each in a and a[each] == b.get(each) for each in keys)

    def one(sql: str) -> Mapping[str, Any]:
        row: dict[str, Any] = engine.query(sql, files).to_pylist()[0]
        return row

    if known and one(differences.unique(keys))["yes"]:
        columns = differences.shared(a, b, keys)
        row = one(differences.by_key(keys, columns))
        return msgspec.structs.replace(
            said,
            added=row["added"],
            removed=row["removed"],
            changed=row["changed"],
            key=keys,
            columns=differences.counts(row, columns),
        )
    row = one(differences.as_wholes(differences.shared(a, b)))
    return msgspec.structs.replace(said, added=row["added"], removed=row["removed"])


# -- machine


def _machine(first: RunRecord, last: RunRecord) -> tuple[Fact, ...]:
    """What was loaded and where it ran, per step, said once where it is the same in all of them."""
    known = [{each.name: each.fingerprint for each in record.steps} for record in (first, last)]
    both = {step: known[0][step].keys() & known[1][step].keys() for step in known[0].keys() & known[1].keys()}
    old, new = _facts(first, both), _facts(last, both)
    found = _loaded(first, last)
    for step in old.keys() & new.keys():
        for name in sorted(old[step].keys() | new[step].keys()):
            pair = (old[step].get(name, ""), new[step].get(name, ""))
            if pair[0] != pair[1]:
                found.setdefault((name, *pair), []).append(step)
    system = [
        Fact(name=name, a=str(first.system.get(name, "")), b=str(last.system.get(name, "")))
        for name in ("system", "machine", "libc")
        if first.system.get(name) != last.system.get(name)
    ]
    if first.version != last.version:
        system.append(Fact(name="payoff", a=first.version, b=last.version))
    return (
        *system,
        *(Fact(name=name, a=a, b=b, where=", ".join(sorted(steps))) for (name, a, b), steps in sorted(found.items())),
    )


def _facts(record: RunRecord, both: Mapping[str, AbstractSet[str]]) -> dict[str, dict[str, str]]:
    """Step -> name -> text, of what was really loaded, as far as both records say (one of an earlier version may say less); libraries by what
    they say of themselves, not by the digests in their files' names.
    """
    found = {}
    for outcome in record.steps:
        facts: dict[str, str] = {}
        for name, value in outcome.fingerprint.items():
            if name in _SAID or name not in both.get(outcome.name, ()):
                continue
            if name == "libraries":
                facts |= _libraries(value)
            elif isinstance(value, dict):
                facts |= {f"{name} {key}": _text(each) for key, each in value.items()}
            else:
                facts[name] = _text(value)
        found[outcome.name] = facts
    return found


def _libraries(libraries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What libraries of a kind say, all of them together (NumPy and SciPy bring an OpenBLAS each); the files of those that do not say a version."""
    found: dict[str, set[str]] = {}
    for file, library in libraries.items():
        kind = str(library["kind"])
        stem = file.partition(".so")[0].partition("-")[0]
        name = stem if kind in _BY_FILE else kind
        for key, value in library.items():
            if key != "kind":
                found.setdefault(f"{name} {key}", set()).add(_text(value))
        if not {"config", "version"} & library.keys():
            found.setdefault(f"library {stem}", set()).add(file)
    return {name: "; ".join(sorted(texts)) for name, texts in found.items()}


def _loaded(first: RunRecord, last: RunRecord) -> dict[tuple[str, str, str], list[str]]:
    """Packages of which another version was loaded, though the locks do not say so: somebody changed a sandbox by hand."""
    locked = [
        {(name, version) for each in record.environments for name, version in each.packages.items()}
        for record in (first, last)
    ]
    other = {outcome.name: outcome.fingerprint.get("packages", {}) for outcome in last.steps}
    found: dict[tuple[str, str, str], list[str]] = {}
    for outcome in first.steps:
        theirs = other.get(outcome.name, {})
        for name, version in outcome.fingerprint.get("packages", {}).items():
            pair = ((name, version), (name, theirs.get(name, version)))
            if pair[0] != pair[1] and not all(each in known for each, known in zip(pair, locked, strict=True)):
                found.setdefault((f"loaded {name}, not as locked", version, theirs[name]), []).append(outcome.name)
    return found


def _text(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else json.dumps(value)
    )
