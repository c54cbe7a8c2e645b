"""Locks are held by one, shared by who shares, and free when their holder is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from payoff.base.locking import Taken, locked

if TYPE_CHECKING:
    from pathlib import Path


def test_one_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "new/lock"
    with locked(file, 0):
        for shared in (False, True):
            with pytest.raises(Taken) as caught, locked(file, 0.1, shared=shared):
                pass
            assert caught.value.holder == str(os.getpid())
        with locked(tmp_path / "another", 0):
            pass
    with locked(file, 0, shared=True), locked(file, 0, shared=True), pytest.raises(Taken), locked(file, 0):
        pass
    with locked(file, 0):
        pass


def test_it_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    held = "import pathlib, sys, time; from payoff.base.locking import locked\nwith locked(pathlib.Path(sys.argv[1]), 0): print(1, flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", held, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder, holder.stdout:
        holder.stdout.readline()
        with pytest.raises(Taken, match=str(holder.pid)), locked(tmp_path / "lock", 0):
            pass
        holder.send_signal(signal.SIGKILL)
        with locked(tmp_path / "lock", 20):
            pass


def test_a_program_that_is_started_meanwhile_does_not_hold_it_on(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", 0):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with locked(tmp_path / "lock", 0):
            pass
    finally:
        child.kill()
        child.wait()


def test_who_waits_while_its_file_is_removed_does_not_hold_a_lock_of_his_own(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    entered = threading.Event()

    def wait() -> None:
        with locked(file, 20):
            entered.set()
            os.stat(file)
            with pytest.raises(Taken), locked(file, 0):
                pass

    waits = threading.Thread(target=wait)
    with locked(file, 0):
        waits.start()
        assert not entered.wait(0.2)
        file.unlink()
    waits.join()
    assert entered.is_set() and file.exists()


def test_one_that_another_user_made(tmp_path: Path) -> None:
    """As root does with sudo. Whoever runs this test as nobody in particular, runs it as its own user against a file that it may not write."""
    folder = tmp_path / "deployments"
    folder.mkdir()
    file = folder / "prod.lock"
    file.touch(mode=0o444)
    held = (
        "import pathlib, sys\nfrom payoff.base.errors import UserError\nfrom payoff.base.locking import locked\n"
        "import os\nif os.getuid() == 0:\n os.chdir(sys.argv[1]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "else:\n os.chdir(sys.argv[1])\n"
        "for each in ('prod.lock', 'new/prod.lock'):\n"
        " try:\n  with locked(pathlib.Path(each), 0): print('held')\n"
        " except UserError as error: print(error.code, error.what, '|', error.remedy)\n"
    )
    folder.chmod(0o555)
    try:
        done = subprocess.run([sys.executable, "-c", held, str(folder)], capture_output=True, text=True, check=False)
    finally:
        folder.chmod(0o755)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first.startswith("PO-A180 prod.lock cannot be opened")
    assert "sudo chown" in first
    assert second.startswith("PO-A180 new cannot be made")
