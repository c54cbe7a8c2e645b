"""An OCI registry by the distribution protocol (OCI distribution specification 1.1): any that podman and docker push to.

Credentials are those that `podman login` or `docker login` keep (a file of theirs, never a setting of ours). Plain HTTP is spoken with
this machine only.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import ipaddress
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.hashing import Sha256, sha256
from payoff.records.release.image import INDEX, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import urllib3

    from payoff.records.release.image import Blob
else:
    urllib3 = lazy.Module("urllib3")

CAPABILITIES: dict[str, Any] = {"remote": True}
_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT = f"{MANIFEST}, {INDEX}, {_DOCKER}.v2+json, {_DOCKER}.list.v2+json"
_PIECE = 1 << 20
_TRIES, _AGAIN = 4, {408, 429, 500, 502, 503, 504}
_MANIFEST_MOST = 4 << 20  # the size that the specification lets registries stop at
_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")


@dataclasses.dataclass(frozen=True)
class Options:
    """`repository`: host[:port]/name, without a tag, as `registry.example.org/team/churn`. `timeout`: seconds for one answer to begin."""

    repository: str
    timeout: float = 60.0


def connect(_root: Path, options: Options) -> Distribution:
    """The repository; nothing is asked before it is used."""
    host, _, name = options.repository.partition("/")
    if not host or not _REPOSITORY.fullmatch(name):
        raise UserError(
            f"{options.repository!r} names no repository of a registry",
            code="PO-A060",
            expected="host[:port]/name in lower case and without a tag, as registry.example.org/team/churn",
            remedy="correct repository in [release]",
        )
    return Distribution(host, name, options.timeout)


class Distribution:
    """One repository. A blob is sent in one piece, so that a registry never keeps half of it under its digest."""

    def __init__(self, host: str, name: str, timeout: float) -> None:
        self._host = host
        self.address = f"docker://{host}/{name}"
        self._name = name
        self._url = f"{'http' if _here(host) else 'https'}://{host}/v2/{name}/"
        self._pool: Any = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=timeout), retries=False)
        self._authorization = ""

    def has(self, blob: Blob) -> bool:
        """By HEAD."""
        return bool(self._asked("HEAD", f"blobs/{blob.digest}", {200, 404}).status == 200)

    def read(self, blob: Blob) -> Iterator[bytes]:
        """By GET, checked at its end."""
        answer = self._asked("GET", f"blobs/{blob.digest}", {200, 404}, streamed=True)
        try:
            if answer.status == 404:
                raise UserError(
                    f"{self._host} has no blob {blob.digest} in {self._name}",
                    code="PO-A061",
                    expected="a repository with all that its manifests list",
                    remedy="push the image there again",
                )
            digest = Sha256()
            with self._reaching():
                for piece in answer.stream(_PIECE, decode_content=False):
                    digest.update(piece)
                    yield piece
            if digest.digest != blob.digest:
                raise self._broken(blob.digest)
        finally:
            answer.release_conn()

    def write(self, blob: Blob, pieces: Iterable[bytes]) -> None:
        """By POST and one PUT."""
        began = self._asked("POST", "blobs/uploads/", {202})
        where = urljoin(self._url, began.headers.get("Location", ""))
        where += ("&" if urlsplit(where).query else "?") + urlencode({"digest": blob.digest})
        if urlsplit(where).netloc != self._host and urlsplit(where).scheme != "https":
            raise self._refused("it asks to send images where nothing is encrypted")
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        if urlsplit(where).netloc == self._host and self._authorization:
            headers["Authorization"] = self._authorization
        digest = Sha256()

        def counted() -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece

        with self._reaching():
            answer = self._pool.request("PUT", where, body=counted(), headers=headers, redirect=False)
        if digest.digest != blob.digest:
            raise self._broken(blob.digest)
        self._judge(answer, {201, 204})

    def manifest(self, reference: str) -> tuple[bytes, str] | None:
        """By GET; asks for images and indexes, OCI's and Docker's."""
        answer = self._asked("GET", f"manifests/{reference}", {200, 404}, {"Accept": _ACCEPT})
        if answer.status == 404:
            return None
        content = bytes(answer.data)
        if len(content) > _MANIFEST_MOST:
            raise self._refused(f"the manifest {reference} is larger than 4 MB")
        if reference.startswith("sha256:") and sha256(content) != reference:
            raise self._broken(reference)
        return content, str(answer.headers.get("Content-Type", MANIFEST)).partition(";")[0]

    def put(self, content: bytes, media_type: str, tag: str = "") -> None:
        """By PUT, under its digest first, then its tag."""
        for reference in [sha256(content), *([tag] if tag else [])]:
            self._asked("PUT", f"manifests/{reference}", {201}, {"Content-Type": media_type}, body=content)

    # -- asking

    def _asked(
        self,
        method: str,
        path: str,
        good: set[int],
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        streamed: bool = False,
    ) -> Any:
        """The answer, after as many tries as it is worth; a registry that asks who we are is told so once."""
        told = False
        for attempt in range(_TRIES):
            sent = {**(headers or {}), **({"Authorization": self._authorization} if self._authorization else {})}
            last = attempt == _TRIES - 1
            try:
                answer = self._pool.request(
                    method, self._url + path, headers=sent, body=body, preload_content=not streamed
                )
            except urllib3.exceptions.HTTPError as error:
                if last:
                    raise self._unreached(error) from None
                time.sleep(0.2 * 2**attempt)
                continue
            if answer.status == 401 and not told:
                told = True
                answer.release_conn()
                self._authorization = self._introduce(answer.headers.get("WWW-Authenticate", ""))
                continue
            if answer.status in _AGAIN and not last:
                answer.release_conn()
                asked = answer.headers.get("Retry-After", "")
                time.sleep(min(float(asked), 10.0) if asked.isdigit() else 0.2 * 2**attempt)
                continue
            return self._judge(answer, good)
        raise self._refused("it does not take the credentials that it asked for")

    def _judge(self, answer: Any, good: set[int]) -> Any:
        if answer.status in good:
            return answer
        answer.release_conn()
        if answer.status in {401, 403}:
            raise UserError(
                f"{self._host} does not let us do that with {self._name} (status {answer.status})",
                code="PO-A062",
                expected="credentials that the registry takes",
                remedy=f"podman login {self._host}",
            )
        raise self._refused(f"it answers with status {answer.status}")

    def _introduce(self, challenge: str) -> str:
        """What to send as Authorization: basic credentials, or a token of the service that the registry names (RFC 6750, token.md of distribution)."""
        kind, _, rest = challenge.partition(" ")
        known = _credentials(self._host)
        basic = f"Basic {known}" if known else ""
        if kind.lower() != "bearer":
            return basic
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.pop("realm", "")
        if urlsplit(realm).scheme != "https" and not _here(urlsplit(realm).netloc):
            raise self._refused("it asks for credentials where nothing is encrypted")
        asked.setdefault("scope", f"repository:{self._name}:pull,push")
        with self._reaching():
            answer = self._pool.request(
                "GET", f"{realm}?{urlencode(asked)}", headers={"Authorization": basic} if basic else {}, redirect=False
            )
        try:
            said = json.loads(self._judge(answer, {200}).data)
            return f"Bearer {said.get('token') or said['access_token']}"
        except (ValueError, KeyError, AttributeError):
            raise self._refused("its token service answers with no token") from None

    # -- what can go wrong

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            raise self._unreached(error) from None

    def _unreached(self, error: Exception) -> OutsideError:
        return OutsideError(
            f"{self._host} cannot be reached, or stopped answering ({type(error).__name__})",
            code="PO-A063",
            expected="a registry that answers",
            remedy=f"curl -i {self._url.partition('/v2/')[0]}/v2/, then try again: what was sent is not sent twice",
        )

    def _refused(self, why: str) -> OutsideError:
        return OutsideError(
            f"{self._host} fails: {why}",
            code="PO-A064",
            expected="a registry that speaks the OCI distribution protocol",
            remedy="look at its log, then try again: what was sent is not sent twice",
        )

    def _broken(self, digest: str) -> OutsideError:
        return OutsideError(
            f"what {self._host} has or was sent as {digest} is something else",
            code="PO-A065",
            expected="bytes of that digest",
            remedy="try again; where it stays, the registry or what is between is not to be trusted",
        )


def _here(host: str) -> bool:
    """Whether a host[:port] is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return False


def _credentials(host: str) -> str:
    """What a login has kept for a host: base64 of user:password."""
    home = Path.home()
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    files = [
        os.environ.get("REGISTRY_AUTH_FILE", ""),
        f"{runtime}/containers/auth.json",
        str(home / ".config/containers/auth.json"),
        os.path.join(os.environ.get("DOCKER_CONFIG", str(home / ".docker")), "config.json"),
    ]
    for file in files:
        try:
            kept = json.loads(Path(file).read_bytes())["auths"][host]["auth"] if file else ""
            base64.b64decode(kept, validate=True)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if kept:
            return str(kept)
    return ""
