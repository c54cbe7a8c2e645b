"""What `payoff export` is asked for and answers."""

from __future__ import annotations

import msgspec


# Each with what is exported in it.
class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff export` was asked for. `what`: a run, or a release by its number. `output`: a file or folder that is not there yet; empty: a
    text is answered, a folder gets a name of its own. `deployment`: whose section says how (kserve). `image` runs pipelines (kfp) or is built on
    (containerfile): host/name@sha256:...; `repository`: where the project is cloned from (kfp).
    """

    format: str
    what: str = "latest"
    output: str = ""
    deployment: str = ""
    image: str = ""
    repository: str = ""
    project: str | None = None


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was exported: of which run, and of which release (0: of a run that is none). `path` is the file or folder (empty: `text` is all of it), `files`
    what is in a folder, with their sizes in bytes.
    """

    format: str
    run: str
    release: int = 0
    path: str = ""
    text: str = ""
    files: dict[str, int] = {}
