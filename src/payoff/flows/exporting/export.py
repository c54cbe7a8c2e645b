"""`payoff export FORMAT WHAT`: what was released, or a run that passed, in the form that another platform takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import UserError
from payoff.base.files import place_folder, write_atomically
from payoff.flows.exporting import containerfile, kfp, kserve, model_folder
from payoff.records.answers.exporting import Exported

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.records.answers.exporting import ExportRequest

_TEXTS: dict[str, Callable[[ExportRequest], Exported]] = {"kserve": kserve.text, "kfp": kfp.text}
_FOLDERS: dict[str, Callable[[ExportRequest, Path], Exported]] = {
    "containerfile": containerfile.folder,
    "mlflow": model_folder.folder,
}


def export(request: ExportRequest) -> Exported:
    """Export once; a file or folder that is there already is left as it is."""
    if request.output and Path(request.output).exists():
        raise _there(request.output)
    if request.format in _TEXTS:
        answer = _TEXTS[request.format](request)
        if not request.output:
            return answer
        write_atomically(Path(request.output), answer.text)
        return msgspec.structs.replace(answer, path=request.output, text="")
    return _placed(request, _FOLDERS[request.format])


def _placed(request: ExportRequest, made: Callable[[ExportRequest, Path], Exported]) -> Exported:
    """The folder is there whole or not at all."""
    beside = Path(request.output or ".").absolute().parent if request.output else Path.cwd()
    if not beside.is_dir():
        raise UserError(
            f"there is no folder {beside}",
            code="PO-A132",
            expected="a new folder in one that is there",
            remedy=f"mkdir -p {beside}, then the same command again",
        )
    part = Path(tempfile.mkdtemp(prefix=".payoff-export-", dir=beside))
    try:
        part.chmod(0o755)
        answer = made(request, part)
        target = Path(request.output) if request.output else Path(f"{answer.run}-{request.format}")
        if target.exists():
            raise _there(os.fspath(target))
        place_folder(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    files = {
        each.relative_to(target).as_posix(): each.stat().st_size for each in sorted(target.rglob("*")) if each.is_file()
    }
    return msgspec.structs.replace(answer, path=os.fspath(target), files=files)


def _there(path: str) -> UserError:
    return UserError(
        f"{path} is there already",
        code="PO-A131",
        expected="a file or folder that is not there yet: nothing is overwritten",
        remedy="name another with --output, or remove it",
    )
