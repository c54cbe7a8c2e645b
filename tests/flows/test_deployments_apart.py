"""What a deployment leaves of others: their images."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from typing import Any

from payoff.base import processes


def serves(address: str) -> bool:
    with urllib.request.urlopen(f"{address}/v2/health/ready", timeout=10) as reply:
        return bool(reply.status == 200)


def test_images_that_a_deployment_may_go_back_to_stay(released: Any) -> None:
    """What nobody is to run any more goes when the next release starts."""
    unpacked = released.root / ".payoff/deployments/images"
    images = {}
    for number in (1, 2):
        released.answer("promote", str(number), "dev")
        if number == 2:
            (unpacked / "0123456789abcdef/opt").mkdir(parents=True)
        images[number] = released.answer("deploy", "dev")["release"]["image"].partition(":")[2][:16]
    assert {each.name for each in unpacked.iterdir()} == set(images.values())


def test_a_front_is_put_back_and_goes_when_it_is_not_wanted_any_more(released: Any) -> None:
    """Clients reach what stands before a release: that it is gone is drift. One that payoff.toml does not name any more is not left behind, but a trial ends by a promotion only."""
    config = released.root / "payoff.toml"
    text = config.read_text()
    config.write_text(text.replace("[deployments.dev]\n", "[deployments.dev.front]\nport = 0\n[deployments.dev]\n"))
    released.commit()
    released.answer("promote", "1", "dev")
    assert released.answer("deploy", "dev")["did"] == "started"
    file = released.root / ".payoff/deployments"
    (file,) = file.glob("*.front")
    first = json.loads(file.read_bytes())
    os.kill(first["pid"], signal.SIGKILL)
    assert released.answer("deploy", "dev")["did"] == "put back"
    released.answer("promote", "2", "dev", "--canary", "10%")
    before = released.answer("deploy", "dev")
    (tried,) = file.parent.glob("*-canary.process")
    pids = [json.loads(each.read_bytes())["pid"] for each in (file, tried)]
    assert all(processes.since(each) for each in pids)
    config.write_text(text)
    released.commit()
    assert released.answer("deploy", "dev", code=2)["errors"][0]["code"] == "PO-A123"
    assert all(processes.since(each) for each in pids)
    released.answer("promote", "1", "dev")
    after = released.answer("deploy", "dev")
    assert after["address"] != before["address"]
    assert serves(after["address"])
    assert not any(processes.since(each) for each in pids)
