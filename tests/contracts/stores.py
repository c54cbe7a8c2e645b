"""Object stores of the tests, on 127.0.0.1: moto plays S3, gcp-storage-emulator GCS, Azurite Azure."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "tok-4711-secret"
# The account of every Azurite, as its manual prints it.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def s3_options(url: str) -> dict[str, Any]:
    """What fsspec's S3 needs for a server at this address; it does not try again for long."""
    client = {"endpoint_url": url, "region_name": "eu-west-1"}
    settings = {"retries": {"max_attempts": 0}, "connect_timeout": 2, "read_timeout": 5, "s3": {"addressing_style": "path"}}
    return {"key": "AKIAEXAMPLE", "secret": SECRET, "client_kwargs": client, "config_kwargs": settings}


@contextlib.contextmanager
def s3() -> Iterator[str]:
    """The address of an S3 server."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _free_port() -> int:
    """Of those that the system gives nobody by itself: no other program can have it before it is used."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])


@contextlib.contextmanager
def gcs() -> Iterator[dict[str, Any]]:
    """Options that lead to a GCS server."""
    from gcp_storage_emulator.server import create_server

    port = _free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="shop")
    server.start()
    try:
        yield {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon", "project": "p"}
    finally:
        server.stop()


def azurite_program() -> str | None:
    return shutil.which(os.environ.get("AZURITE", "azurite-blob"))


@contextlib.contextmanager
def azure(folder: str) -> Iterator[dict[str, Any]]:
    """Options that lead to an Azure Blob server."""
    port = _free_port()
    program = azurite_program()
    assert program
    settings = ["--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    process = subprocess.Popen([program, *settings], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        for _ in range(150):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.2)
        address = f"http://127.0.0.1:{port}/devstoreaccount1"
        yield {"connection_string": f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};BlobEndpoint={address};"}
    finally:
        process.terminate()
        process.wait()
