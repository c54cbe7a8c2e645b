"""What a deployment leaves of others: their images, and their names."""

from __future__ import annotations

from typing import Any


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


def test_no_deployment_is_called_like_the_canary_of_another(released: Any) -> None:
    """Without a front nothing is tried beside, and nothing is refused."""
    released.append("payoff.toml", '[deployments.dev-canary]\nkind = "process"\n')
    released.commit("a deployment of that name")
    assert released.answer("release")["release"]["number"] == 3
    released.answer("promote", "3", "dev")
    assert released.answer("deploy", "dev")["did"] == "started"
    released.append("payoff.toml", "[deployments.dev.front]\n")
    released.commit("a front before the other")
    assert released.refused("deploy", "dev", code=2) == "PO-A156"
    released.answer("promote", "3", "dev-canary")
    assert released.refused("deploy", "dev-canary", code=2) == "PO-A156"
