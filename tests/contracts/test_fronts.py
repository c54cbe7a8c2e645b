"""A real process before real servers."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from payoff.base.errors import OutsideError, UserError
from payoff.ports.releasing.front import Routes
from payoff.testing.releasing.front import NAME, FrontSuite, ask, connect, until

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.releasing.front import Front


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

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
    def test_it_listens_on_this_machine_only(self, releases: Any, tmp_path: Path, host: str) -> None:
        with pytest.raises(UserError, match="on this machine only"):
            connect(self.adapter, tmp_path, {"host": host}).route(NAME, Routes(stable=releases(1).target))
