"""SSH keys, as git signs commits with them (`ssh-keygen -Y`, PROTOCOL.sshsig): keys that people have already, in an agent or a token too."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from payoff.base.errors import OutsideError, UserError

CAPABILITIES: dict[str, Any] = {}
# Signatures made for another purpose (a commit, a file) are none of ours, and ours are none of theirs.
NAMESPACE = "payoff@payoff.dev"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclasses.dataclass(frozen=True)
class Options:
    """`signers`: the file of who holds which key, in the repository (ALLOWED SIGNERS of ssh-keygen(1)); `key`: the public or private key to
    sign with (default: what git signs with, `user.signingkey`).
    """

    signers: str = "deploy/allowed_signers"
    key: str = ""


def connect(root: Path, options: Options) -> Ssh:
    """The keys; nothing is read before it is used."""
    return Ssh(root, options)


class Ssh:
    """Keys are looked up by ssh-keygen alone: Payoff never opens a private one."""

    def __init__(self, root: Path, options: Options) -> None:
        self._root = root
        self._options = options
        self._signers = root / options.signers

    def sign(self, said: bytes) -> tuple[bytes, str]:
        """An armoured signature, and the key's fingerprint."""
        key = self._key()
        done = self._keygen("-Y", "sign", "-f", key, "-n", NAMESPACE, said=said)
        if done.returncode or b"BEGIN SSH SIGNATURE" not in done.stdout:
            raise UserError(
                f"ssh-keygen does not sign with {key}",
                code="PO-A041",
                expected="a key without passphrase, or one that an SSH agent holds",
                remedy=f"ssh-add {key.removesuffix('.pub')}",
            )
        named = self._keygen("-l", "-f", key).stdout.split()
        return done.stdout, os.fsdecode(named[1]) if len(named) > 1 else ""

    def known(self) -> str:
        """The file of allowed signers."""
        try:
            return self._signers.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise UserError(
                f"{self._options.signers} is not there: nobody is known to hold a key",
                code="PO-A042",
                expected="a line for each person: name@example.org ssh-ed25519 AAAA...",
                remedy=f'mkdir -p deploy && echo "$(git config user.email) $(cat ~/.ssh/id_ed25519.pub)" >> {self._options.signers}',
            ) from None

    def principals(self, said: bytes, signature: bytes, known: str, at: str) -> frozenset[str]:
        """All principals of the list whose key it is, as far as they may sign at all (`valid-before`, `namespaces`)."""
        if not _TIME.fullmatch(at):
            return frozenset()
        then = f"-Overify-time={re.sub('[^0-9]', '', at)[:14]}"
        with tempfile.TemporaryDirectory() as folder:
            signers, file = os.path.join(folder, "signers"), os.path.join(folder, "sig")
            Path(signers).write_text(known, encoding="utf-8")
            Path(file).write_bytes(signature)
            found = self._keygen("-Y", "find-principals", then, "-f", signers, "-s", file)
            names = found.stdout.decode(errors="replace").splitlines() if not found.returncode else []
            words = ("-Y", "verify", then, "-f", signers, "-n", NAMESPACE, "-s", file)
            good = [name for name in names if name and not self._keygen(*words, "-I", name, said=said).returncode]
        return frozenset(good)

    def _key(self) -> str:
        key = self._options.key
        if not key:
            asked = subprocess.run(
                ["git", "config", "user.signingkey"], cwd=self._root, capture_output=True, check=False
            )
            key = os.fsdecode(asked.stdout).strip()
        path = Path(key).expanduser() if key else None
        if path is None or not (self._root / path).is_file():
            raise UserError(
                f"the key to sign with is not there: {key}" if key else "there is no key to sign with",
                code="PO-A040",
                expected="an SSH key, named by git's user.signingkey or by key in [signing]",
                remedy="ssh-keygen -t ed25519 -f ~/.ssh/id_ed25519 && git config user.signingkey ~/.ssh/id_ed25519.pub",
            )
        return os.fspath(self._root / path)

    def _keygen(self, *words: str, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        try:
            # A key with a passphrase must fail here, not ask: nobody may be sitting there.
            quiet = {
                **os.environ,
                "LC_ALL": "C",
                "TZ": "UTC",
                "SSH_ASKPASS_REQUIRE": "force",
                "SSH_ASKPASS": "/bin/false",
            }
            return subprocess.run(
                ["ssh-keygen", *words],
                input=said,
                capture_output=True,
                check=False,
                env=quiet,
                timeout=60,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise UserError(
                "ssh-keygen is not installed, or not on the PATH",
                code="PO-A043",
                expected="OpenSSH 8.2 or newer, whose keys sign releases",
                remedy="apt install openssh-client",
            ) from None
        except subprocess.TimeoutExpired:
            raise OutsideError(
                "ssh-keygen did not answer within 60 seconds",
                code="PO-A044",
                expected="a key or an agent that signs",
                remedy="ssh-add -l, and touch the token if the key is on one",
            ) from None
