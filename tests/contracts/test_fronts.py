"""A real process before real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from payoff.base import processes
from payoff.base.errors import OutsideError, UserError
from payoff.ports.releasing.front import Routes
from payoff.testing.releasing.front import NAME, FrontSuite, ask, connect, until

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.releasing.front import Front


def fronts(folder: Path) -> list[int]:
    """Processes that stand before a deployment of that folder."""
    ours = "payoff.adapters.fronts.proxy.server"
    return [pid for pid in processes.numbers() if ours in (words := processes.words(pid)) and any(str(folder) in each for each in words)]


class TestProxy(FrontSuite):
    adapter = "payoff.fronts:proxy"

    def test_after_a_crash_it_is_started_again_and_goes_on_counting(self, front: Front, releases: Any) -> None:
        routes = Routes(stable=releases(1).target, canary=releases(2).target, share=1.0)
        address = front.route(NAME, routes)
        ask(address, "/decide", b"row")
        until(lambda: (found := front.seen(NAME)) is not None and found.canary.requests == 1)
        os.kill(front._runs(NAME)["pid"], signal.SIGKILL)  # type: ignore[attr-defined]
        until(lambda: front.routes(NAME) is None)
        ask(front.route(NAME, routes), "/decide", b"row")
        until(lambda: (found := front.seen(NAME)) is not None and found.canary.requests == 2)

    def test_two_who_begin_at_once_have_one(self, front: Front, releases: Any, tmp_path: Path) -> None:
        """And who was killed before it said that it began one leaves none."""
        routes = Routes(stable=releases(1).target)
        found: list[str] = []
        both = [threading.Thread(target=lambda: found.append(connect(self.adapter, tmp_path, {}).route(NAME, routes))) for _ in "12"]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert len(found) == 2
        assert len(set(found)) == len(fronts(tmp_path)) == 1
        (file,) = tmp_path.rglob("*.front")
        file.unlink()
        assert ask(front.route(NAME, routes)) == (200, {"release": 1})
        assert len(fronts(tmp_path)) == 1

    def test_a_process_that_took_the_number_over_is_not_ended(self, front: Front, releases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even one that looks like a front, such as that of another who began it since."""
        front.route(NAME, Routes(stable=releases(1).target))
        (file,) = tmp_path.rglob("*.front")
        front.stop(NAME)
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(file.with_suffix(""))]) as other:
            file.write_text(json.dumps({"pid": other.pid, "address": "", "applied": "", "options": {}}))
            since = processes.since
            earlier = iter([str(int(since(other.pid) or 0) - 1)])
            monkeypatch.setattr(processes, "since", lambda pid: next(earlier, None) or since(pid))
            front.stop(NAME)
            time.sleep(0.1)
            assert other.poll() is None
            other.kill()

    def test_without_its_routes_it_goes_on_and_says_so_once(self, front: Front, releases: Any, tmp_path: Path) -> None:
        routes = Routes(stable=releases(1).target)
        address = front.route(NAME, routes)
        (file,) = tmp_path.rglob("*.routes")
        for bad in (None, b"{"):
            file.unlink(missing_ok=True)
            if bad:
                file.write_bytes(bad)
            time.sleep(0.3)
            assert ask(address) == (200, {"release": 1})
            assert front.routes(NAME) is None
        (log,) = tmp_path.rglob("*.front-log")
        assert log.read_text().count("the routes cannot be read") == 2
        assert front.route(NAME, routes) == address
        assert front.routes(NAME) == routes
        assert front.route(NAME, Routes(stable=releases(2).target)) == address
        assert ask(address) == (200, {"release": 2})

    def test_a_port_that_is_taken(self, releases: Any, tmp_path: Path) -> None:
        taken = releases(1)
        port = int(taken.target.address.rpartition(":")[2])
        with pytest.raises(OutsideError, match="does not start") as caught:
            connect(self.adapter, tmp_path, {"port": port}).route(NAME, Routes(stable=taken.target))
        assert caught.value.code == "PO-A120"

    def test_one_that_is_to_move_to_a_port_that_is_taken_stays(self, front: Front, releases: Any, tmp_path: Path) -> None:
        """Clients find it where it was until it can go."""
        routes = Routes(stable=releases(1).target)
        address = front.route(NAME, routes)
        port = int(releases(2).target.address.rpartition(":")[2])
        with pytest.raises(OutsideError, match="does not move") as caught:
            connect(self.adapter, tmp_path, {"port": port}).route(NAME, routes)
        assert caught.value.code == "PO-A120"
        assert ask(address) == (200, {"release": 1})
        assert front.route(NAME, routes) == address

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
    def test_it_listens_on_this_machine_only(self, releases: Any, tmp_path: Path, host: str) -> None:
        with pytest.raises(UserError, match="on this machine only"):
            connect(self.adapter, tmp_path, {"host": host}).route(NAME, Routes(stable=releases(1).target))
