"""OpenLineage: run events with column facets, to a file (one event a line) or to a service by HTTP.

Events for a service are first kept in `.payoff/openlineage/`, a file for each run, and removed when it took them.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from payoff.adapters.emitters.openlineage.events import events
from payoff.base.errors import UserError
from payoff.base.files import write_atomically
from payoff.records.finding import Finding

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.emission import Emission

SECONDS = 5.0
_NEVER = (400, 413, 422)  # asked again, the answer would be the same


@dataclass(frozen=True, kw_only=True)
class Options:
    """`path` is relative to the project, `url` the service's; one of them. `namespace` is that of jobs and of tables that steps make."""

    path: str = ""
    url: str = ""
    token: str = ""
    namespace: str = "payoff"


def connect(root: Path, options: Options) -> Emitter:
    """An emitter for a project's folder; nothing is opened.

    Raises UserError where it is not clear where events go.
    """
    parts = urlsplit(options.url)
    if bool(options.path) == bool(options.url) or (options.url and not (parts.scheme in _KINDS and parts.hostname)):
        raise UserError(
            "[lineage] does not say where events go",
            code="PO-O003",
            expected='either path = ".payoff/openlineage.ndjson" or url = "http://..."',
            remedy="correct [lineage] in payoff.toml, then: payoff check",
        )
    return Emitter(root, options)


class Emitter:
    """Keeps events until they are delivered."""

    def __init__(self, root: Path, options: Options) -> None:
        self._root, self._options = root, options
        self._kept = root / ".payoff" / "openlineage"

    def emit(self, told: Emission) -> Finding | None:
        """Tell of a run, and of what is kept of earlier ones."""
        lines = [json.dumps(event, ensure_ascii=False) for event in events(told, self._options.namespace)]
        text = "".join(f"{line}\n" for line in lines)
        try:
            if self._options.path:
                file = self._root / self._options.path
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("a", encoding="utf-8") as stream:
                    stream.write(text)
                return None
            write_atomically(self._kept / f"{told.run}.ndjson", text)
        except OSError:
            return _warning(
                "PO-O002", "lineage events could not be written", "a disk with space, and a file that may be written"
            )
        return self.catch_up()

    def catch_up(self) -> Finding | None:
        """Send what is kept, the oldest first, for at most 5 seconds."""
        if self._options.path or not any(self._kept.glob("*.ndjson")):
            return None
        faults: list[str] = []
        sender = threading.Thread(target=self._send_all, args=(faults,), daemon=True)
        sender.start()
        sender.join(SECONDS)
        if sender.is_alive():
            faults.append("it did not answer in time")
        if not faults:
            return None
        return _warning(
            "PO-O001", f"lineage events were not delivered: {faults[-1]}", "a service that takes OpenLineage events"
        )

    def _send_all(self, faults: list[str]) -> None:
        try:
            for file in sorted(self._kept.glob("*.ndjson"), key=lambda each: (each.stat().st_mtime_ns, each.name)):
                status = self._send(file)
                if status in _NEVER:
                    file.replace(file.with_suffix(".rejected"))
                if not 200 <= status < 300:
                    faults.append(f"the service answered {status}")
                    if status not in _NEVER:
                        return
                else:
                    file.unlink(missing_ok=True)
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
        ) as error:  # their texts could show the address' or token's parts
            faults.append(f"the service could not be reached ({type(error).__name__})")

    def _send(self, file: Path) -> int:
        """The first status that is not a success, or the last one."""
        parts = urlsplit(self._options.url)
        link = _KINDS[parts.scheme](parts.hostname or "", parts.port, timeout=SECONDS)
        headers = {"Content-Type": "application/json"}
        if self._options.token:
            headers["Authorization"] = f"Bearer {self._options.token}"
        status = 200
        try:
            for line in file.read_text(encoding="utf-8").split("\n"):
                if line and 200 <= status < 300:
                    link.request("POST", parts.path.rstrip("/") or "/api/v1/lineage", line.encode(), headers)
                    answer = link.getresponse()
                    answer.read()
                    status = answer.status
        finally:
            link.close()
        return status


def _https(host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())


_KINDS = {"http": http.client.HTTPConnection, "https": _https}


def _warning(code: str, what: str, expected: str) -> Finding:
    return Finding(
        code=code,
        severity="warning",
        what=what,
        expected=expected,
        try_="correct [lineage] in payoff.toml or start the service; the next payoff run sends what is kept",
    )
