"""The contract suite of signers.

Inherit it in a test file, name the adapter, and answer a person who may sign, with the name that signatures are to be found under:

    class TestMySigner(SignerSuite):
        adapter = "payoff.signers:mine"

        @pytest.fixture()
        def people(self, tmp_path): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.releasing.signer import Signer


def connect(adapter: str, root: Path, options: dict[str, Any]) -> Signer:
    """The signer that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    made: Signer = module.connect(root, module.Options(**options))
    return made


def whose(signer: Signer, said: bytes, signature: bytes, at: str = "2026-06-01T12:00:00.000Z") -> frozenset[str]:
    """Whose signature it is by the list as it is now."""
    return signer.principals(said, signature, signer.known(), at)


class SignerSuite:
    """What every signer promises."""

    adapter: ClassVar[str]

    @pytest.fixture
    def people(self, tmp_path: Path) -> dict[str, dict[str, Any]]:
        """Two people who are known, as name -> options to sign as them; and `stranger`, who is not."""
        raise NotImplementedError

    @pytest.fixture
    def signers(self, tmp_path: Path, people: dict[str, dict[str, Any]]) -> dict[str, Signer]:
        """Each of them connected."""
        return {name: connect(self.adapter, tmp_path, options) for name, options in people.items()}

    def test_a_signature_is_of_who_made_it(self, signers: dict[str, Signer]) -> None:
        """Everyone sees whose it is, whoever looks."""
        known = [name for name in signers if name != "stranger"]
        for name in known:
            signature, key = signers[name].sign(b"said")
            assert key
            assert {other: whose(signers[other], b"said", signature) for other in known} == dict.fromkeys(
                known, frozenset({name})
            )

    def test_of_other_bytes_it_is_nobodys(self, signers: dict[str, Signer]) -> None:
        """One bit is enough."""
        signer = next(iter(signers.values()))
        signature, _ = signer.sign(b"said")
        for other in (b"saie", b"", b"said ", b"said\n"):
            assert whose(signer, other, signature) == frozenset()

    def test_a_stranger_is_nobody(self, signers: dict[str, Signer]) -> None:
        """A good signature with a key that nobody is known to hold."""
        signature, _ = signers["stranger"].sign(b"said")
        assert whose(signers["stranger"], b"said", signature) == frozenset()

    def test_by_another_list_it_is_nobodys(self, signers: dict[str, Signer]) -> None:
        """The list that is handed in decides, not the one that lies about."""
        signer = next(iter(signers.values()))
        signature, _ = signer.sign(b"said")
        assert signer.principals(b"said", signature, "", "2026-06-01T12:00:00.000Z") == frozenset()

    def test_at_no_time_it_is_nobodys(self, signers: dict[str, Signer]) -> None:
        """A statement that does not say when it was made."""
        signer = next(iter(signers.values()))
        signature, _ = signer.sign(b"said")
        for at in ("", "yesterday", "2026-06-01", "-Oprint-pubkey"):
            assert whose(signer, b"said", signature, at) == frozenset()

    @pytest.mark.parametrize(
        "junk",
        [
            b"",
            b"\0",
            b"-----BEGIN SSH SIGNATURE-----\n",
            b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
        ],
    )
    def test_junk_is_nobodys(self, signers: dict[str, Signer], junk: bytes) -> None:
        """No error either: it is what others wrote."""
        assert whose(next(iter(signers.values())), b"said", junk) == frozenset()
