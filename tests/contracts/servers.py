"""Real servers for the tests of sinks, each of its own for the length of a module, ended by its process id."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_spec = importlib.util.spec_from_file_location("sinks_postgres", Path(__file__).with_name("postgres.py"))
assert _spec and _spec.loader
_postgres = importlib.util.module_from_spec(_spec)
sys.modules["sinks_postgres"] = _postgres
_spec.loader.exec_module(_postgres)
postgresql, PASSWORD, free_port = _postgres.server, _postgres.PASSWORD, _postgres.free_port


def query(dsn: str, *statements: str) -> list[dict[str, Any]]:
    """Run statements; the rows of the last one."""
    import adbc_driver_manager
    import adbc_driver_postgresql
    import pyarrow as pa

    _postgres.execute(dsn, *statements[:-1])
    if not statements[-1].lower().startswith("select"):
        _postgres.execute(dsn, statements[-1])
        return []
    with (
        adbc_driver_postgresql.connect(dsn) as database,
        adbc_driver_manager.AdbcConnection(database) as connection,
        adbc_driver_manager.AdbcStatement(connection) as statement,
    ):
        statement.set_sql_query(statements[-1])
        with pa.RecordBatchReader.from_stream(statement.execute_query()[0]) as reader:
            table = reader.read_all()
        plain = [c.cast(c.type.storage_type) if isinstance(c.type, pa.BaseExtensionType) else c for c in table.columns]
        return pa.table(plain, names=table.column_names).to_pylist()


@contextlib.contextmanager
def running(program: str, words: Callable[[Path, int], list[str]], ready: Callable[[int], bool], user: str = "") -> Iterator[int]:
    """A server at a free port of this machine; its folder goes with it."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed (make .make/servers)")
    folder, port = Path(tempfile.mkdtemp(prefix="payoff-")), free_port()
    before: list[str] = []
    if user and os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        before = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--"]
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*before, found, *words(folder, port)], stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{program} did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def images() -> contextlib.AbstractContextManager[int]:
    """Debian's registry of images, empty; answers its port."""

    def words(folder: Path, port: int) -> list[str]:
        config = folder / "config.yml"
        kept = f"storage: {{filesystem: {{rootdirectory: {folder / 'kept'}}}}}"
        config.write_text(f"version: 0.1\n{kept}\nhttp: {{addr: 127.0.0.1:{port}}}\nlog: {{level: error}}\n")
        return ["serve", str(config)]

    def ready(port: int) -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).status == 200)
        except OSError:
            return False

    return running("docker-registry", words, ready)


@contextlib.contextmanager
def mariadb() -> Iterator[str]:
    """A MariaDB with a database `shop`."""
    if shutil.which("mariadb-install-db") is None:
        pytest.skip("MariaDB is not installed (make .make/servers)")
    import pymysql

    def words(folder: Path, port: int) -> list[str]:
        user = "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        data = folder / "data"
        made = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", f"--user={user}"]
        subprocess.run(made, check=True, capture_output=True)
        small = ["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--innodb-log-file-size=16M"]
        return ["--no-defaults", f"--datadir={data}", f"--socket={folder}/s", f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={folder}/pid", *small]

    def ready(port: int) -> bool:
        try:
            connection = pymysql.connect(host="127.0.0.1", port=port, user="root")
        except pymysql.Error:
            return False
        with connection, connection.cursor() as cursor:
            cursor.execute("create database if not exists shop")
            cursor.execute(f"create user if not exists tester identified by '{PASSWORD}'")
            cursor.execute("grant all on shop.* to tester")
        return True

    with running("mariadbd", words, ready, user="mysql") as port:
        yield f"mysql://tester:{PASSWORD}@127.0.0.1:{port}/shop"


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis that wants a password."""

    def words(folder: Path, port: int) -> list[str]:
        return ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--requirepass", PASSWORD]

    with running("redis-server", words, _listens) as port:
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


@contextlib.contextmanager
def nats() -> Iterator[str]:
    """A NATS server with JetStream that wants a password."""

    def words(folder: Path, port: int) -> list[str]:
        return ["-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(folder / "js"), "--user", "tester", "--pass", PASSWORD]

    with running("nats-server", words, _listens) as port:
        yield f"nats://tester:{PASSWORD}@127.0.0.1:{port}"


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.settimeout(1)
        return not probe.connect_ex(("127.0.0.1", port))
