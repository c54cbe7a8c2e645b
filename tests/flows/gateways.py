"""A project with a gateway in a process of its own, for the tests that read through one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAYOFF = str(Path(sys.executable).with_name("payoff"))
TOKENS = {"US_TOKEN": "us-0123456789abcdef", "EU_TOKEN": "eu-0123456789abcdef", "FEW_TOKEN": "few-0123456789abcdef"}
ZONES = """
[zones.fra]
jurisdictions = ["DE", "EU"]
[zones.vir]
jurisdictions = ["US"]
clearance = "internal"
"""
OFFER = """
[gateway]
tables = ["customers", "worths", "examples"]
batch_rows = 100
[gateway.readers.us]
token = "${US_TOKEN}"
zone = "vir"
[gateway.readers.eu]
token = "${EU_TOKEN}"
zone = "fra"
purposes = ["retention", "research"]
[gateway.readers.few]
token = "${FEW_TOKEN}"
zone = "vir"
tables = ["customers"]
rows = { customers = "calls_to_support >= 3" }
"""


class Running:
    """A gateway that serves; `address` is where."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def running(root: Path, *words: str, before: Sequence[str] = (), environ: dict[str, str] | None = None) -> Iterator[Running]:
    """Start a gateway, and see to it that it ends."""
    command = [*before, PAYOFF, "gateway", "--json", "--port", "0", *words]
    with open(root / "gateway.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **TOKENS, **(environ or {})}
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (root / "gateway.log").read_text()
            yield Running(process, json.loads(line)["address"])
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            process.stdout.close()  # type: ignore[union-attr]
