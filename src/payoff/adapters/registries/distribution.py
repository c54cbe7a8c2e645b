"""An OCI registry by the distribution protocol (OCI distribution specification 1.1): any that podman and docker push to.

Credentials are those that `podman login` or `docker login` keep (a file of theirs, never a setting of ours), and go to the registry and the token service that it
names. Many registries keep blobs in a storage of another host, and send there who wants one (ECR, GCR, Docker Hub, Harbor): they are followed, without
credentials. Plain HTTP is spoken with this machine only.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import ipaddress
import json
import os
import re
import subprocess
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
_HELPED = 20.0  # seconds for a program that keeps credentials
_TRIES, _AGAIN = 4, {408, 429, 500, 502, 503, 504}
_ELSEWHERE, _HOPS = {301, 302, 303, 307, 308}, 5
_HUB = "registry-1.docker.io"  # where Docker Hub is asked: docker.io, which everybody writes, is a web page
_ALIASES = {"docker.io": _HUB, "index.docker.io": _HUB}
_LOGINS = {_HUB: ("docker.io", "index.docker.io", "https://index.docker.io/v1/")}  # as its logins are kept
_PORTS = {"http": 80, "https": 443}
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
        self.address = f"docker://{host}/{name}"
        host = _ALIASES.get(host, host)
        self._host = host
        self._name = name
        self._url = f"{'http' if _here(host) else 'https'}://{host}/v2/{name}/"
        self._pool: Any = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=timeout), retries=False)
        self._authorization = ""

    def has(self, blob: Blob) -> bool:
        """By HEAD. A storage of another host may have been told to expect GET only (S3 signs the method, too): then it is asked so, and left before it sends the blob."""
        answer, home = self._asked("HEAD", f"blobs/{blob.digest}")
        if not home and answer.status not in {200, 404}:
            answer, home = self._asked("GET", f"blobs/{blob.digest}", streamed=True)
            answer.close()
        return bool(self._judge(answer, {200, 404}, home=home).status == 200)

    def read(self, blob: Blob) -> Iterator[bytes]:
        """By GET, checked at its end, and no more of it than it should have."""
        answer, home = self._asked("GET", f"blobs/{blob.digest}", streamed=True)
        try:
            if self._judge(answer, {200, 404}, home=home).status == 404:
                raise UserError(
                    f"{self._host} has no blob {blob.digest} in {self._name}",
                    code="PO-A061",
                    expected="a repository with all that its manifests list",
                    remedy="push the image there again",
                )
            digest, size = Sha256(), 0
            with self._reaching():
                for piece in answer.stream(_PIECE, decode_content=False):
                    size += len(piece)
                    if size > blob.size:
                        raise self._broken(blob.digest)
                    digest.update(piece)
                    yield piece
            if digest.digest != blob.digest:
                raise self._broken(blob.digest)
        finally:
            answer.close()

    def write(self, blob: Blob, pieces: Iterable[bytes]) -> None:
        """By POST and one PUT."""
        began, home = self._asked("POST", "blobs/uploads/")
        self._judge(began, {202}, home=home)
        where = self._place(self._url, began)
        where += ("&" if urlsplit(where).query else "?") + urlencode({"digest": blob.digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        home = self._home(where)
        if home and self._authorization:
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
        self._judge(answer, {201, 204}, home=home)

    def manifest(self, reference: str) -> tuple[bytes, str] | None:
        """By GET; asks for images and indexes, OCI's and Docker's."""
        answer, home = self._asked("GET", f"manifests/{reference}", {"Accept": _ACCEPT}, streamed=True)
        try:
            if self._judge(answer, {200, 404}, home=home).status == 404:
                return None
            content = b""
            with self._reaching():
                for piece in answer.stream(_PIECE):
                    content += piece
                    if len(content) > _MANIFEST_MOST:
                        raise self._refused(f"the manifest {reference} is larger than 4 MB")
        finally:
            answer.close()
        if reference.startswith("sha256:") and sha256(content) != reference:
            raise self._broken(reference)
        return content, str(answer.headers.get("Content-Type", MANIFEST)).partition(";")[0]

    def put(self, content: bytes, media_type: str, tag: str = "") -> None:
        """By PUT, under its digest first, then its tag. While others bring the same blobs, a registry may not see them for a moment: then it is asked again."""
        for reference in [sha256(content), *([tag] if tag else [])]:
            for attempt in range(_TRIES):
                answer, home = self._asked("PUT", f"manifests/{reference}", {"Content-Type": media_type}, body=content)
                if answer.status != 400 or b"MANIFEST_BLOB_UNKNOWN" not in answer.data:
                    break
                time.sleep(0.1 * 2**attempt)
            self._judge(answer, {201}, home=home)

    # -- asking

    def _asked(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        streamed: bool = False,
    ) -> tuple[Any, bool]:
        """The answer, after as many tries as it is worth, and whether it is the registry's own. One that asks who we are is told so once; another host never is."""
        told = False
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                answer, home = self._followed(method, self._url + path, headers or {}, body, streamed=streamed)
            except urllib3.exceptions.HTTPError as error:
                if last:
                    raise self._unreached(error) from None
                time.sleep(0.2 * 2**attempt)
                continue
            if answer.status == 401 and home and not told:
                told = True
                _let_go(answer)
                self._authorization = self._introduce(answer.headers.get("WWW-Authenticate", ""))
                continue
            if answer.status in _AGAIN and not last:
                _let_go(answer)
                asked = answer.headers.get("Retry-After", "")
                time.sleep(min(float(asked), 10.0) if asked.isdigit() else 0.2 * 2**attempt)
                continue
            return answer, home
        raise self._refused("it does not take the credentials that it asked for")

    def _followed(
        self, method: str, where: str, headers: Mapping[str, str], body: bytes | None, *, streamed: bool
    ) -> tuple[Any, bool]:
        """One answer, from where it is to be had: who asks for something may be sent elsewhere, who brings something is not."""
        for _ in range(_HOPS + 1):
            home = self._home(where)
            known = {"Authorization": self._authorization} if home and self._authorization else {}
            answer = self._pool.request(
                method, where, headers={**headers, **known}, body=body, preload_content=not streamed, redirect=False
            )
            if answer.status not in _ELSEWHERE or method not in {"GET", "HEAD"}:
                return answer, home
            _let_go(answer)
            where = self._place(where, answer)
        raise self._astray(f"on more than {_HOPS} times")

    def _place(self, base: str, answer: Any) -> str:
        """Where `Location` says, if that may be asked."""
        said = answer.headers.get("Location", "")
        try:
            return self._checked(urljoin(base, said) if said else "")
        except ValueError:
            raise self._astray("to no address") from None

    def _checked(self, where: str) -> str:
        """An address that encrypts, or one of this machine when the registry is on it, too. Read by who will ask it: two readers may see two hosts in one address."""
        try:
            said = urllib3.util.parse_url(where)
        except urllib3.exceptions.HTTPError:
            said = urllib3.util.Url()
        if said.scheme not in {"http", "https"} or not said.host:
            raise self._astray("to no address")
        if said.scheme == "http" and not (_here(self._host) and _here(said.netloc or "")):
            raise self._astray(f"to {said.host}, where nothing is encrypted")
        return where

    def _home(self, where: str) -> bool:
        """Whether that is the registry itself."""
        one, other = (
            (said.scheme, said.host, said.port or _PORTS.get(said.scheme or ""))
            for said in map(urllib3.util.parse_url, (where, self._url))
        )
        return one == other

    def _judge(self, answer: Any, good: set[int], *, home: bool = True) -> Any:
        if answer.status in good:
            return answer
        _let_go(answer)
        if not home:
            raise OutsideError(
                f"where {self._host} sends us for that, it is answered with status {answer.status}",
                code="PO-A151",
                expected="a storage that gives what its registry says that it has",
                remedy="try again; where it stays, look at the storage's log",
            )
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
        self._checked(realm)
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

    def _astray(self, where: str) -> OutsideError:
        return OutsideError(
            f"{self._host} sends us {where}",
            code="PO-A150",
            expected=f"the blob itself, or at most {_HOPS} times an address of https",
            remedy=f"curl -si {self._url}tags/list shows its own address; have who runs it give out those of https",
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


def _let_go(answer: Any) -> None:
    """An answer that nobody reads: the rest of it, if it is little, so that its connection can be used again."""
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        answer.read(_PIECE, decode_content=False)
    answer.close()


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
            said = json.loads(Path(file).read_bytes()) if file else {}
        except (OSError, ValueError):
            continue
        for named in (host, *_LOGINS.get(host, ())):
            found = _kept(said, named) or _asked_for(said, named)
            if found:
                return found
    return ""


def _kept(said: Any, host: str) -> str:
    """What the file itself has."""
    try:
        kept = said["auths"][host]["auth"]
        base64.b64decode(kept, validate=True)
    except (ValueError, KeyError, TypeError):
        return ""
    return str(kept)


def _asked_for(said: Any, host: str) -> str:
    """What a program of the desktop or the cloud keeps (`credHelpers`, `credsStore`; docker-credential-helpers' protocol): asked for that host alone."""
    try:
        helper = said.get("credHelpers", {}).get(host) or (said["credsStore"] if host in said["auths"] else "")
        if not re.fullmatch(r"[\w.-]+", helper):
            return ""
        words = [f"docker-credential-{helper}", "get"]
        answer = subprocess.run(words, input=host.encode(), capture_output=True, timeout=_HELPED, check=True).stdout
        user, secret = (json.loads(answer)[each] for each in ("Username", "Secret"))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    # A token for the token service instead of a password is a protocol of its own, which is not spoken here.
    return "" if user == "<token>" else base64.b64encode(f"{user}:{secret}".encode()).decode()
