"""`payoff export mlflow RUN`: the model as the tracker logs it, in a folder of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.flows.exporting.subject import model, subject
from payoff.flows.recording import typical_row
from payoff.project.past import folder as past
from payoff.records.answers.exporting import Exported
from payoff.wiring import assemble

if TYPE_CHECKING:
    from payoff.records.answers.exporting import ExportRequest


def folder(request: ExportRequest, place: Path) -> Exported:
    """The run's model, its code as it was, its locked packages, its signature. The pickle is a copy: the store's own is never given away."""
    found = subject(request.project, request.what)
    record = found.record
    file = model(found)
    with tempfile.TemporaryDirectory(dir=found.opened.root / ".payoff") as scratch:
        code = Path(scratch, "code")
        past.write(found.opened.root, record.git, code, record.run)
        files = {"model": str(shutil.copyfile(file, Path(scratch, "model"))), "code": str(code)}
        example = typical_row(found.opened, record)
        if example is not None:
            files["example"] = str(example)
        assemble.model_writer(found.opened.project)(place, record, files)
    return Exported(format=request.format, run=record.run, release=found.release)
