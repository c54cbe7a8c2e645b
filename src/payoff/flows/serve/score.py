"""`payoff score`: a file of rows, in parts that are done once each, whatever is killed in between."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.errors import UserError
from payoff.base.files import place_durably, write_atomically
from payoff.flows.serve import columns
from payoff.flows.serve.offer import offer
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Callable

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
    format: str = _FORMAT


class Request(NamedTuple):
    """What `payoff score` is asked for: `rows` is how many a part has."""

    run: str
    source: str
    target: str
    project: str | None = None
    rows: int = 65_536
    anyway: bool = False


class Job:
    """A model, a file of rows, and a folder of parts beside the file that is to be written; the parts go when it is."""

    def __init__(self, offered: Offer, source: Source, target: Path, plan: Plan, names: tuple[str, ...]) -> None:
        self.offer, self.source, self.target, self.plan = offered, source, target, plan
        self.names = names
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

    def keep(self, number: int, written: Path) -> None:
        """Take over a part that is written; it is done from then on."""
        place_durably(written, self.part(number))

    def finish(self, written: Path) -> None:
        """Take over the whole; the parts go."""
        place_durably(written, self.target)
        shutil.rmtree(self.folder, ignore_errors=True)


def job(request: Request, tell: Callable[[str], None]) -> Job:
    """Open a model and a file of rows."""
    target = Path(request.target).absolute()
    if target.suffix != ENDING:
        raise UserError(
            f"the output {request.target} does not end in {ENDING}",
            code="PO-J006",
            expected="a Parquet file",
            remedy=f"name it with that ending: --output {Path(request.target).stem or 'scores'}{ENDING}",
        )
    path = Path(request.source).absolute()
    source = assemble.file(str(path))
    given = source.schema().names
    offered = offer(request.project, request.run, tell, anyway=request.anyway)
    served = offered.served
    needed = [each.name for each in served.columns]
    columns.refuse_unknown(given, needed)
    own = [served.id.name] if served.id is not None and served.id.name in given and served.id.name not in needed else []
    target.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        source=hashing.of_file(path),
        model=served.digest,
        charter=served.charter.digest,
        run=served.run,
        rows=request.rows,
    )
    return Job(offered, source, target, plan, (*own, *needed))
