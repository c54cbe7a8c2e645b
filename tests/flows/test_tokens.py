"""How a token reaches a released model's server, and how it is changed while clients ask."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from payoff.base.errors import UserError
from payoff.flows.serve import released as images

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = "0123456789abcdef-1", "0123456789abcdef-2"


def told(address: str, token: str) -> int:
    asked = urllib.request.Request(f"{address}/v2", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_another_token_is_another_copy_at_the_same_address(released: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (released.root / "payoff.toml").read_text()
    (released.root / "payoff.toml").write_text(
        text.replace("[deployments.dev]\n", '[deployments.dev.front]\nkind = "proxy"\n[deployments.dev]\ntoken = "${DEV_TOKEN}"\n')
    )
    released.commit()
    released.answer("promote", "1", "dev")
    monkeypatch.setenv("DEV_TOKEN", FIRST)
    first = released.answer("deploy", "dev")
    assert (told(first["address"], FIRST), told(first["address"], SECOND)) == (200, 401)
    monkeypatch.setenv("DEV_TOKEN", SECOND)
    second = released.answer("deploy", "dev")
    assert (second["did"], second["address"]) == ("restarted", first["address"])
    assert (told(first["address"], FIRST), told(first["address"], SECOND)) == (401, 200)
    assert released.answer("deploy", "dev")["did"] == "nothing"


def test_a_file_has_it_where_no_variable_does(tmp_path: Path) -> None:
    file = tmp_path / "token"
    environ = {"PAYOFF_TOKEN_FILE": str(file)}
    with pytest.raises(UserError) as caught:
        images._read_token(environ)
    assert caught.value.code == "PO-A181"
    file.write_text(f"{FIRST}\n")
    images._read_token(environ)
    assert environ["PAYOFF_TOKEN"] == FIRST
    file.write_bytes(b"\xff" * 20)
    images._read_token(environ)
    assert environ["PAYOFF_TOKEN"] == FIRST
    with pytest.raises(UserError, match="cannot be read"):
        images._read_token({"PAYOFF_TOKEN_FILE": str(file)})
    none = {"PAYOFF_TOKEN_FILE": images.TOKEN_AT}
    images._read_token(none)
    assert "PAYOFF_TOKEN" not in none, "an image names a file that need not be mounted"
