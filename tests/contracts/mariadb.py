"""A real MariaDB for the length of a test session, one for all workers of the session.

The first worker that asks starts a keeper (this file as a program), which owns the server: it ends the server and removes its folder when
no process is left that asked, however that process ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "geheim-0815"
PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"


def program(name: str) -> str:
    return shutil.which(name, path=_PATH) or ""


def free_port() -> int:
    """Of those that the system gives nobody by itself: no other program can have it before it is used."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(run: str) -> Iterator[int]:
    """The port of the session's server on 127.0.0.1; `run` is the same text in all workers of a session. User `tester`, with a password."""
    if not all(program(name) for name in PROGRAMS):
        pytest.skip("MariaDB is not installed (make .make/servers)")
    folder = Path(tempfile.gettempdir()) / f"payoff-maria-{os.geteuid()}-{run}"
    mine = folder / f"user-{os.getpid()}"
    with _locked(folder):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        mine.touch()
        if not (folder / "keeper").exists():
            with open(folder / "keeper.log", "wb") as log:  # it goes on by itself, and says under which number
                subprocess.run([sys.executable, __file__, folder], stdout=log, stderr=log, check=True)
    try:
        deadline = time.monotonic() + 90
        while not (folder / "port").exists():
            if time.monotonic() > deadline or not alive(int((folder / "keeper").read_text())):
                said = "".join(f.read_text(errors="replace")[-2000:] for f in (folder / "keeper.log", folder / "log") if f.exists())
                pytest.fail(f"MariaDB did not start: {said}")
            time.sleep(0.05)
        yield int((folder / "port").read_text())
    finally:
        mine.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(f"{folder}.lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def execute(port: int, *statements: str, database: str = "test") -> str:
    """Run statements with the distribution's own client; what it prints, without column names."""
    words = [program("mariadb"), "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", "tester", "--default-character-set=utf8mb4", "--local-infile=1", "--skip-column-names", database]
    done = subprocess.run(words, input=";\n".join(statements).encode(), capture_output=True, env={**os.environ, "MYSQL_PWD": PASSWORD})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def _users(folder: Path) -> bool:
    return any(alive(int(file.name.removeprefix("user-"))) for file in folder.glob("user-*"))


def _init(folder: Path, words: list[str]) -> None:
    (folder / "data").mkdir()
    (folder / "init.sql").write_text(
        "create database if not exists test character set utf8mb4;\n"
        f"create user tester@'%' identified by '{PASSWORD}';\ngrant all on *.* to tester@'%';\n"
    )
    if words:
        user = pwd.getpwnam("mysql")
        os.chown(folder / "data", user.pw_uid, user.pw_gid)
    init = [*words, program("mariadb-install-db"), "--no-defaults", f"--datadir={folder / 'data'}", "--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve"]
    subprocess.run(init, check=True, cwd=folder)


def keep(folder: Path) -> None:
    """Start a server, say its port, end it when nobody needs it any more."""
    words = []
    if os.geteuid() == 0:  # it refuses to run as root
        user = pwd.getpwnam("mysql")
        words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
    _init(folder, words)
    port = free_port()
    options = ["--no-defaults", f"--datadir={folder / 'data'}", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'data' / 's'}", "--skip-name-resolve", "--local-infile=1", f"--init-file={folder / 'init.sql'}", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-log-bin", f"--pid-file={folder / 'data' / 'pid'}", "--performance-schema=off", "--character-set-server=utf8mb4", "--default-time-zone=+02:00"]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*words, program("mariadbd"), *options], stdout=log, stderr=log, cwd=folder)
    try:
        while process.poll() is None and not _answers(port):
            time.sleep(0.05)
        if process.poll() is None:
            (folder / "port.new").write_text(str(port))
            (folder / "port.new").rename(folder / "port")
        while process.poll() is None:
            time.sleep(0.3)
            with _locked(folder):
                if not _users(folder):
                    process.send_signal(signal.SIGKILL)  # its data are thrown away
                    process.wait()
                    shutil.rmtree(folder, ignore_errors=True)
                    Path(f"{folder}.lock").unlink(missing_ok=True)
                    return
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return not probe.connect_ex(("127.0.0.1", port)) and probe.recv(4) != b""


if __name__ == "__main__":
    if child := os.fork():
        (Path(sys.argv[1]) / "keeper").write_text(str(child))
    else:
        os.setsid()
        keep(Path(sys.argv[1]))
