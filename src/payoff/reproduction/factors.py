"""All that differs between two runs, one factor for each thing that can be taken from either."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import switches as known
from payoff.records.hybrids.attribution import Factor
from payoff.records.project import Project
from payoff.records.run import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Keys of a charter that no number hangs on: what people read, and what they accept.
_WORDS = ("objective.", "accept.", "stop.", "signed.", "decision.question")
_SAYS = (".says", ".means")
_HERE = "it cannot be tested here: execute `payoff reproduce` of both on a machine of the other kind"
_INSTEAD = {
    "blas kernel": "it cannot be tested here as it came with the processor: run once more with OPENBLAS_CORETYPE set to A's, and it is a factor",
    "threads": "nobody chose it, the processors did: set threads of the step (or OMP_NUM_THREADS) and run once more, and it is a factor",
    "interpreter": "the lock says which Python will do, not which is taken: pin it to the digit in .python-version, and it is a factor",
}
_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_THREAD_LIMIT")
_POOLS = {"openblas", "mkl", "blis", "openmp"}


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its record has it and its project as it was; `charter`: the charter's keys (`payoff.offer.churned`) and values; `files`: what a
    side says of each group of files that differ and are nothing else (`data/rates.json`, `data/`; `*` for the rest).
    """

    record: RunRecord
    project: Project
    charter: dict[str, Any] = {}
    files: dict[str, str] = {}


def factors(a: Side, b: Side) -> tuple[Factor, ...]:
    """What differs, most specific first: parameters, seeds and settings, data, code, charter, packages, system.

    Ids: `parameter:STEP.NAME`, `seed:STEP`, `system:threads:STEP`, `system:deterministic:STEP`, `system:env:VARIABLE`, `data:TABLE`,
    `code:QUALIFIED.NAME`, `file:PATH`, `charter:KEY`, `package:ENVIRONMENT:NAME`, `system:environment:STEP`, `system:python:ENVIRONMENT`,
    `system:lock:ENVIRONMENT`; and what cannot be tested on one machine:
    `hardware:cpu`, `hardware:cpu features`, `hardware:blas kernel`, `hardware:threads`, `hardware:gpu`, `hardware:interpreter`.
    """
    found = [
        *_parameters(a, b),
        *_settings(a, b),
        *_variables(a, b),
        *_tables(a, b),
        *_code(a, b),
        *_files(a, b),
        *_charter(a, b),
        *_packages(a, b),
        *_machine(a, b),
    ]
    return tuple(found)


def _parameters(a: Side, b: Side) -> Iterator[Factor]:
    first, last = _flat(a.record.parameters), _flat(b.record.parameters)
    steps = {step.name for step in a.project.steps} & {step.name for step in b.project.steps}
    counted = Counter(name for _, name in {*first, *last})
    for step, name in sorted(first.keys() | last.keys()):
        # A step that only one of them has is code; so is a parameter that only one of them has.
        if step not in steps or (step, name) not in first or (step, name) not in last:
            continue
        old, new = first[step, name], last[step, name]
        if old != new or type(old) is not type(new):
            title = name if counted[name] == 1 else f"{step}.{name}"
            yield Factor(
                id=f"parameter:{step}.{name}",
                kind="parameter",
                name=title,
                a=_text(old),
                b=_text(new),
                group="parameters",
            )


def _flat(parameters: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(step, name): value for step, values in parameters.items() for name, value in values.items()}


def _settings(a: Side, b: Side) -> Iterator[Factor]:
    for step in a.project.steps:
        other = b.project.step(step.name)
        if other is None or step.kind != "python":
            continue
        if step.seed != other.seed:
            yield Factor(
                id=f"seed:{step.name}",
                kind="seed",
                name=step.name,
                a=_text(step.seed),
                b=_text(other.seed),
                group="settings",
            )
        for word, old, new in (
            ("threads", _threads(a, step.name), _threads(b, step.name)),
            ("deterministic", step.deterministic, other.deterministic),
            ("environment", step.environment, other.environment),
        ):
            if old != new:
                yield Factor(
                    id=f"system:{word}:{step.name}",
                    kind="system",
                    name=f"{word} of {step.name}",
                    a=_text(old),
                    b=_text(new),
                    group="settings",
                )


def _threads(side: Side, name: str) -> int | None:
    step = side.project.step(name)
    return step.threads if step else None


def _variables(a: Side, b: Side) -> Iterator[Factor]:
    first, last = switches(a.record), switches(b.record)
    for name in sorted(first.keys() | last.keys()):
        if first.get(name, "") != last.get(name, ""):
            yield Factor(
                id=f"system:env:{name}",
                kind="system",
                name=name,
                a=first.get(name, ""),
                b=last.get(name, ""),
                group="settings",
            )


def switches(record: RunRecord) -> dict[str, str]:
    """The environment variables that numbers hang on, as the run's steps had them: those of a step that was reused are the run's, too."""
    found = {name: str(record.system[name]) for name in known.NAMES if name in record.system}
    for outcome in record.steps:
        said = outcome.fingerprint.get("environment")
        if isinstance(said, dict):
            found |= {str(name): str(value) for name, value in said.items()}
    return found


def _tables(a: Side, b: Side) -> Iterator[Factor]:
    names = {source.table for side in (a, b) for source in side.project.sources}
    for name in sorted(names):
        old, new = a.record.tables.get(name), b.record.tables.get(name)
        if old is None or new is None or old.id == new.id:
            continue  # of a table that only one of them reads, the code that reads it is the factor
        yield Factor(
            id=f"data:{name}",
            kind="data",
            name=name,
            a=f"{old.rows or 0:,} rows, {old.id[:8]}",
            b=f"{new.rows or 0:,} rows, {new.id[:8]}",
            group="data",
        )


def _code(a: Side, b: Side) -> Iterator[Factor]:
    first, last = _parts(a.project), _parts(b.project)
    for name in sorted(first.keys() | last.keys()):
        old, new = first.get(name, ""), last.get(name, "")
        if old == new:
            continue
        if name.startswith("["):
            continue  # a join declared in payoff.toml changes with that file
        yield Factor(
            id=f"code:{name}",
            kind="code",
            name=name,
            a=old[:8],
            b=new[:8],
            group=f"code of {name.rpartition('.')[0] or name}",
        )


def _files(a: Side, b: Side) -> Iterator[Factor]:
    """Files that steps may read past Payoff, contracts, and payoff.toml: each as a whole."""
    first, last = _parts(a.project), _parts(b.project)
    joins = [each for each in sorted(first.keys() & last.keys()) if each.startswith("[") and first[each] != last[each]]
    for name in sorted(a.files.keys() | b.files.keys()):
        said = f" ({', '.join(joins)})" if name == "payoff.toml" and joins else ""
        yield Factor(
            id=f"file:{name}",
            kind="code",
            name="other files" if name == "*" else name + said,
            a=a.files.get(name, ""),
            b=b.files.get(name, ""),
            group="whole files",
        )


def _parts(project: Project) -> dict[str, str]:
    return {name: digest for step in project.steps for name, digest in step.parts.items()}


def _charter(a: Side, b: Side) -> Iterator[Factor]:
    for key in sorted(a.charter.keys() | b.charter.keys()):
        if key.startswith(_WORDS) or key.endswith(_SAYS):
            continue
        old, new = a.charter.get(key), b.charter.get(key)
        if old != new:
            yield Factor(
                id=f"charter:{key}",
                kind="parameter",
                name=f"charter {key}",
                a=_text(old),
                b=_text(new),
                group="charter",
            )


def _packages(a: Side, b: Side) -> Iterator[Factor]:
    used = {step.environment for side in (a, b) for step in side.project.steps if step.kind == "python"}
    several = len(used) > 1
    for environment in sorted(used):
        old, new = a.project.environment(environment), b.project.environment(environment)
        if old is None or new is None:
            continue  # a step changed its environment: that is a setting of it
        group = f"packages of {environment}"
        if old.python != new.python:
            yield Factor(
                id=f"system:python:{environment}",
                kind="system",
                name=f"python of {environment}" if several else "python",
                a=old.python,
                b=new.python,
                group=group,
            )
        elif old.packages == new.packages and old.digest != new.digest:
            yield Factor(
                id=f"system:lock:{environment}",
                kind="system",
                name=f"lock of {environment}",
                a=old.digest[:8],
                b=new.digest[:8],
                group=group,
            )
        for name in sorted(old.packages.keys() | new.packages.keys()):
            first, last = old.packages.get(name, ""), new.packages.get(name, "")
            if first != last:
                yield Factor(
                    id=f"package:{environment}:{name}",
                    kind="package",
                    name=f"{name} in {environment}" if several and _twice(a, b, used, name) else name,
                    a=first,
                    b=last,
                    group=group,
                )


def _twice(a: Side, b: Side, used: set[str], name: str) -> bool:
    """Whether a package differs in more than one environment."""

    def differs(environment: str) -> bool:
        old, new = a.project.environment(environment), b.project.environment(environment)
        return old is not None and new is not None and old.packages.get(name) != new.packages.get(name)

    return sum(differs(each) for each in used) > 1


def _machine(a: Side, b: Side) -> Iterator[Factor]:
    first, last = machine(a.record), machine(b.record)
    apart = {name for name in first.keys() & last.keys() if first[name] != last[name]}
    if not {"cpu", "cpu features"} & apart:
        apart.discard("blas kernel")  # on equal processors it is a variable or a package that chose another
    if _chosen(a, b, "threads", _COUNTS):
        apart.discard("threads")
    if any((e := b.project.environment(each.name)) and e.python != each.python for each in a.project.environments):
        apart.discard("interpreter")
    for name in sorted(apart):
        yield Factor(
            id=f"hardware:{name}",
            kind="hardware",
            name=name,
            a=first[name],
            b=last[name],
            group="hardware",
            testable=False,
            reason=_INSTEAD.get(name, _HERE),
        )


def _chosen(a: Side, b: Side, word: str, variables: tuple[str, ...]) -> bool:
    """Whether a setting of a step, or a variable, says something else in the one than in the other: then that is the factor."""
    steps = ((each, b.project.step(each.name)) for each in a.project.steps)
    first, last = switches(a.record), switches(b.record)
    return any(other and getattr(step, word) != getattr(other, word) for step, other in steps) or any(
        first.get(name) != last.get(name) for name in variables
    )


def machine(record: RunRecord) -> dict[str, str]:
    """What is known of where a run's steps were computed, that nobody can switch: kind of system, libc, interpreter, processor, what the
    numerical libraries made of it, graphics processor and driver. What was not looked at is not there.
    """
    found: dict[str, set[str]] = {
        str(name): {str(value)} for name, value in record.system.items() if name in {"system", "machine", "libc"}
    }
    for outcome in record.steps:
        for name, text in _seen(outcome.fingerprint):
            found.setdefault(name, set()).add(text)
    return {name: "; ".join(sorted(texts)) for name, texts in found.items()}


def _seen(fingerprint: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a step's fingerprint says of its machine."""
    if python := fingerprint.get("python"):
        yield "interpreter", str(python)
    if cpu := fingerprint.get("cpu"):
        yield "cpu", str(cpu.get("model", ""))
        yield "cpu features", ", ".join(cpu.get("features", ()))
    gpu = fingerprint.get("gpu")
    if gpu is not None:
        yield "gpu", ", ".join(gpu.get("models", ())) or "none"
        if driver := gpu.get("driver"):
            yield "gpu driver", str(driver)
    for library in (fingerprint.get("libraries") or {}).values():
        if kernel := library.get("kernel"):
            yield "blas kernel", str(kernel)
        if library.get("kind") in _POOLS and library.get("threads"):
            yield "threads", str(library["threads"])


def _text(value: Any) -> str:
    return "" if value is None else str(value)
