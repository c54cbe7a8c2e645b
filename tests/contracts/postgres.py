"""A real PostgreSQL for the length of a test session."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "geheim-0815"


def free_port() -> int:
    """Of those that the system gives nobody by itself: no other program can have it before it is used."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of a server of our own; ended by its process id. It refuses to run as root, so it runs as `postgres` then."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed (make .make/servers)")
    programs = found[-1].parent
    words: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="payoff-pg-"))
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL cannot run as root, and there is no user postgres")
        words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
        os.chown(folder, user.pw_uid, user.pw_gid)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    data, port = folder / "data", free_port()
    init = [*words, programs / "initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-N", "-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run(init, check=True, capture_output=True, cwd=folder)
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-c", "fsync=off", "-c", "max_connections=20"]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*words, programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield f"postgresql://tester:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)):
            return False
    return True


def execute(dsn: str, *statements: str) -> None:
    """Run statements on a connection of their own."""
    import adbc_driver_manager
    import adbc_driver_postgresql

    for _ in range(100):
        try:
            database = adbc_driver_postgresql.connect(dsn)
            break
        except adbc_driver_manager.Error as error:  # it listens before it lets anybody in
            if "starting up" not in str(error):
                raise
            time.sleep(0.05)
    with database, adbc_driver_manager.AdbcConnection(database) as connection:
        for sql in statements:
            with adbc_driver_manager.AdbcStatement(connection) as statement:
                statement.set_sql_query(sql)
                statement.execute_update()
