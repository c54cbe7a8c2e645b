"""`payoff score`: a file of rows, in parts that are done once each, whatever is killed in between."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.errors import UserError
from payoff.base.files import place_durably, write_atomically
from payoff.flows.serve import columns
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from payoff.flows.serve.offered import Offer
    from payoff.ports.source import Source

ENDING = ".parquet"
_FORMAT = "payoff score 1"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a part depends on: parts that were made under another plan are of no use."""

    source: str
    model: str
    charter: str
    run: str
    rows: int
    aside: bool = False
    format: str = _FORMAT


class Request(NamedTuple):
    """What `payoff score` is asked for: `run` names one, or is the number of a release; `rows` is how many a part has, `aside` the file for rows that break a
    promise (without one they are refused). `released` is the folder of a released model inside its image.
    """

    run: str
    source: str
    target: str
    project: str | None = None
    rows: int = 65_536
    anyway: bool = False
    aside: str = ""
    released: str = ""


class Job:
    """A model, a file of rows, and a folder of parts beside the file that is to be written; the parts go when it is.

    With `aside` a part is two files, of rows that were scored and of those that were set aside: it is done when the first is there, which is put last.
    """

    def __init__(
        self, offered: Offer, source: Source, target: Path, plan: Plan, names: tuple[str, ...], *, aside: Path | None
    ) -> None:
        self.offer, self.source, self.target, self.plan = offered, source, target, plan
        self.names, self.aside = names, aside
        self.folder = target.with_name(f".{target.name}.parts")

    def begin(self) -> int:
        """Make the folder, or find that of a run of the same plan; answers how many parts are done."""
        said = msgspec.json.encode(self.plan)
        known = self.folder / "plan.json"
        if not known.exists() or known.read_bytes() != said:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_atomically(known, said)
        for left in self.folder.glob("*.part"):
            left.unlink()
        return len(list(self.folder.glob(f"*{ENDING}")))

    def part(self, number: int) -> Path:
        """Where a part is, or will be."""
        return self.folder / f"{number:08}{ENDING}"

    def part_aside(self, number: int) -> Path:
        """The same of the rows that are set aside."""
        return self.folder / f"{number:08}.aside"

    def keep(self, number: int, written: Path, aside: Path | None) -> None:
        """Take over a part that is written; it is done from then on."""
        if aside is not None:
            place_durably(aside, self.part_aside(number))
        place_durably(written, self.part(number))

    def finish(self, written: Path, aside: Path | None) -> None:
        """Take over the whole; the parts go."""
        if aside is not None and self.aside is not None:
            place_durably(aside, self.aside)
        place_durably(written, self.target)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def job(request: Request, tell: Callable[[str], None]) -> Iterator[Job]:
    """Open a model and a file of rows."""
    target = _target(request.target, "--output", "scores")
    aside = _target(request.aside, "--aside", "aside") if request.aside else None
    if aside == target:
        raise UserError(
            f"--output and --aside name the same file, {request.aside}",
            code="PO-J006",
            expected="a file for what is scored and another for what is not",
            remedy="name another: --aside aside.parquet",
        )
    path = Path(request.source).absolute()
    source = assemble.file(str(path))
    source.schema()  # what cannot be read is told before anything is made ready for it
    with _offered(request, tell) as offered:
        yield _job(request, offered, source, path, target, aside)


def _offered(request: Request, tell: Callable[[str], None]) -> contextlib.AbstractContextManager[Offer]:
    # What reads projects and releases takes time, and is not for a container.
    if request.released:
        from payoff.flows.serve import released

        return contextlib.nullcontext(released.opened(request.released, {**os.environ, released.OPEN: "1"}))
    from payoff.flows.serve.named import named

    return named(request.project, request.run, tell, anyway=request.anyway)


def _job(request: Request, offered: Offer, source: Source, path: Path, target: Path, aside: Path | None) -> Job:
    given = source.schema().names
    served = offered.served
    needed = [each.name for each in served.columns]
    columns.refuse_unknown(given, needed)
    own = [served.id.name] if served.id is not None and served.id.name in given and served.id.name not in needed else []
    for each in (target, aside or target):
        each.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        source=hashing.of_file(path),
        model=served.digest,
        charter=served.charter.digest,
        run=served.run,
        rows=request.rows,
        aside=aside is not None,
    )
    return Job(offered, source, target, plan, (*own, *needed), aside=aside)


def _target(named: str, option: str, otherwise: str) -> Path:
    target = Path(named).absolute()
    if target.suffix != ENDING:
        raise UserError(
            f"the output {named} does not end in {ENDING}",
            code="PO-J006",
            expected="a Parquet file",
            remedy=f"name it with that ending: {option} {Path(named).stem or otherwise}{ENDING}",
        )
    return target
