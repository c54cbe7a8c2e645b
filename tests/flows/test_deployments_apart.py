"""What a deployment leaves of others: their images."""

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
