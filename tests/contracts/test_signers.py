"""Real SSH keys."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from payoff.base.errors import UserError
from payoff.testing.releasing.signer import SignerSuite, connect, whose


def key(folder: Path, name: str, passphrase: str = "", kind: str = "ed25519") -> str:
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(file)], check=True)
    return (folder / f"{name}.pub").read_text()


class TestSsh(SignerSuite):
    adapter = "payoff.signers:ssh"

    @pytest.fixture
    def people(self, tmp_path: Path) -> dict[str, dict[str, Any]]:
        (tmp_path / "deploy").mkdir()
        lines = [f"{name}@example.org {key(tmp_path, f'{name}@example.org', kind=kind)}" for name, kind in (("ann", "ed25519"), ("bob", "ecdsa"))]
        key(tmp_path, "stranger")
        (tmp_path / "deploy/allowed_signers").write_text("".join(lines))
        return {name: {"key": name} for name in ("ann@example.org", "bob@example.org", "stranger")}

    def test_git_tells_which_key(self, signers: Any, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        subprocess.run(["git", "config", "user.signingkey", str(tmp_path / "bob@example.org.pub")], cwd=tmp_path, check=True)
        made = connect(self.adapter, tmp_path, {})
        assert whose(made, b"said", made.sign(b"said")[0]) == {"bob@example.org"}

    def test_a_signature_for_something_else_is_none(self, signers: Any, tmp_path: Path) -> None:
        done = subprocess.run(["ssh-keygen", "-Y", "sign", "-f", str(tmp_path / "ann@example.org"), "-n", "git"], input=b"said", capture_output=True, check=True)
        assert whose(signers["ann@example.org"], b"said", done.stdout) == frozenset()

    def test_a_key_that_was_taken_back_or_has_run_out(self, signers: Any, tmp_path: Path) -> None:
        signature, _ = signers["ann@example.org"].sign(b"said")
        file = tmp_path / "deploy/allowed_signers"
        file.write_text(file.read_text().replace("ann@example.org ssh", 'ann@example.org valid-before="20200101" ssh'))
        ann = signers["ann@example.org"]
        assert whose(ann, b"said", signature) == frozenset()
        assert whose(ann, b"said", signature, "2019-12-31T23:59:59.000Z") == {"ann@example.org"}, "it was hers then"
        file.write_text("")
        assert whose(ann, b"said", signature) == frozenset()

    def test_no_key_no_list_a_passphrase(self, signers: Any, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="key to sign with is not there"):
            connect(self.adapter, tmp_path, {"key": "gone"}).sign(b"said")
        key(tmp_path, "locked", passphrase="secret words")
        with pytest.raises(UserError, match="does not sign with") as caught:
            connect(self.adapter, tmp_path, {"key": "locked"}).sign(b"said")
        assert "ssh-add" in caught.value.remedy
        (tmp_path / "deploy/allowed_signers").unlink()
        with pytest.raises(UserError, match="nobody is known to hold a key"):
            signers["stranger"].known()
