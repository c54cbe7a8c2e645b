"""Registries: a folder, and Debian's registry server; images there are read by another tool."""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from payoff.base.errors import OutsideError, UserError
from payoff.testing.releasing.registry import RegistrySuite, blob, connect, push, small_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_spec = importlib.util.spec_from_file_location("registry_servers", Path(__file__).with_name("servers.py"))
assert _spec and _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules["registry_servers"] = servers
_spec.loader.exec_module(servers)


@pytest.fixture(scope="module")
def registry_port() -> Iterator[int]:
    with servers.images() as port:
        yield port


def inspected(address: str) -> dict[str, Any]:
    """What skopeo says of an image."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (make .make/servers)")
    words = ["skopeo", "inspect", "--raw", *(["--tls-verify=false"] if address.startswith("docker:") else []), address]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


class TestLayout(RegistrySuite):
    adapter = "payoff.registries:layout"

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {"path": "images"}

    def test_another_tool_reads_and_copies_it(self, registry: Any, tmp_path: Path) -> None:
        made, blobs = small_image()
        push(registry, made, blobs, "v1")
        assert inspected(f"oci:{tmp_path}/images:v1") == json.loads(made.manifest)
        subprocess.run(["skopeo", "copy", "-q", "--preserve-digests", f"oci:{tmp_path}/images:v1", f"oci:{tmp_path}/other:v2"], check=True, timeout=60)
        copied = connect(self.adapter, tmp_path, {"path": "other"})
        found = copied.manifest("v2")
        assert found is not None
        assert found[0] == made.manifest
        for digest, content in blobs.items():
            assert b"".join(copied.read(blob(content))) == content, digest

    def test_bytes_changed_on_disk_are_found(self, registry: Any, tmp_path: Path) -> None:
        made, blobs = small_image()
        push(registry, made, blobs, "v1")
        for digest, content in blobs.items():
            (tmp_path / "images/blobs/sha256" / digest.partition(":")[2]).write_bytes(content[:-1] + b"?")
            with pytest.raises(OutsideError, match="is something else"):
                list(registry.read(blob(content)))
        (tmp_path / "images/blobs/sha256" / made.digest.partition(":")[2]).write_bytes(b"{}")
        with pytest.raises(OutsideError, match="is something else"):
            registry.manifest("v1")

    def test_another_folder(self, registry: Any, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "images/index.json").write_text("[]")
        with pytest.raises(UserError, match="is no index"):
            registry.manifest("v1")

    def test_a_digest_cannot_lead_out_of_it(self, registry: Any) -> None:
        made = blob(b"x")
        for digest in ("sha256:../../../etc/passwd", "sha512:" + "0" * 128, "sha256:" + "Z" * 64):
            with pytest.raises(UserError, match="is no digest"):
                list(registry.read(type(made)(media_type="x", digest=digest, size=1)))


class TestDistribution(RegistrySuite):
    adapter = "payoff.registries:distribution"

    @pytest.fixture
    def options(self, registry_port: int, tmp_path: Path) -> dict[str, Any]:
        return {"repository": f"127.0.0.1:{registry_port}/{tmp_path.name.replace('_', '-').lower().strip('-')}"}

    def test_another_tool_reads_it(self, registry: Any, options: dict[str, Any]) -> None:
        made, blobs = small_image()
        push(registry, made, blobs, "v1")
        assert inspected(f"docker://{options['repository']}:v1") == json.loads(made.manifest)
        assert inspected(f"docker://{options['repository']}@{made.digest}") == json.loads(made.manifest)

    @pytest.mark.parametrize("name", ["", "host", "host/", "host/Upper", "host/a:tag", "host/../b", "host/a b"])
    def test_names(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UserError, match="names no repository"):
            connect(self.adapter, tmp_path, {"repository": name})

    @pytest.mark.parametrize("kept", ["docker.io", "https://index.docker.io/v1/"])
    def test_docker_hub_is_asked_where_it_answers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
        """Whoever writes docker.io means another host, and has logged in to a third."""
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": {kept: {"auth": SECRET}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
        hub: Any = connect(self.adapter, tmp_path, {"repository": "docker.io/library/python"})
        assert (hub.address, hub._url) == ("docker://docker.io/library/python", "https://registry-1.docker.io/v2/library/python/")
        assert hub._introduce('Basic realm="x"') == f"Basic {SECRET}"

    def test_nobody_there(self, tmp_path: Path) -> None:
        registry = connect(self.adapter, tmp_path, {"repository": f"127.0.0.1:{servers.free_port()}/a"})
        with pytest.raises(OutsideError, match="cannot be reached"):
            registry.has(blob(b"x"))


class Guarded(BaseHTTPRequestHandler):
    """A registry that wants a token, whose service wants a password; and that fails twice before it answers."""

    failures = 2

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        if self.path.startswith("/token"):
            known = sent == "Basic " + base64.b64encode(b"ann:secret").decode()
            assert "scope=repository%3Ateam%2Fchurn%3Apull" in self.path
            return self.answer(200 if known else 401, json.dumps({"token": "abc"}).encode() if known else b"")
        if sent != "Bearer abc":
            port = self.server.server_address[1]
            self.send_response(401)
            self.send_header("WWW-Authenticate", f'Bearer realm="http://127.0.0.1:{port}/token",service="r",scope="repository:team/churn:pull"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if type(self).failures:
            type(self).failures -= 1
            return self.answer(503, b"")
        return self.answer(200, b"{}")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Nothing."""


@pytest.fixture
def guarded() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_credentials_of_a_login_are_sent_and_failures_tried_again(guarded: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Guarded.failures = 2
    file = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    where = {"repository": f"127.0.0.1:{guarded}/team/churn"}
    file.write_text(json.dumps({"auths": {f"127.0.0.1:{guarded}": {"auth": base64.b64encode(b"ann:secret").decode()}}}))
    assert connect("payoff.registries:distribution", tmp_path, where).manifest("v1") == (b"{}", "application/vnd.oci.image.manifest.v1+json")
    file.write_text(json.dumps({"auths": {f"127.0.0.1:{guarded}": {"auth": base64.b64encode(b"ann:wrong!").decode()}}}))
    with pytest.raises(UserError, match="does not let us") as caught:
        connect("payoff.registries:distribution", tmp_path, where).manifest("v1")
    assert "wrong!" not in str(caught.value)


@pytest.mark.parametrize("said", ['{"credHelpers": {"HOST": "here"}}', '{"auths": {"HOST": {}}, "credsStore": "here"}'])
def test_credentials_that_a_program_keeps(guarded: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """As docker keeps them on desktops and in clouds: the file names a program, which is asked for this host."""
    host = f"127.0.0.1:{guarded}"
    program = tmp_path / "docker-credential-here"
    program.write_text(f"""#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = {host} ] && echo '{{"Username": "ann", "Secret": "secret"}}'\n""")
    program.chmod(0o755)
    (tmp_path / "config.json").write_text(said.replace("HOST", host))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none.json"))
    where = {"repository": f"{host}/team/churn"}
    assert connect("payoff.registries:distribution", tmp_path, where).manifest("v1") == (b"{}", "application/vnd.oci.image.manifest.v1+json")
    for faulty in ("exit 1", "echo nothing", """echo '{"Username": "<token>", "Secret": "x"}'"""):
        program.write_text(f"#!/bin/sh\n{faulty}\n")
        with pytest.raises(UserError, match="does not let us"):
            connect("payoff.registries:distribution", tmp_path, where).manifest("v1")


class Passing:
    """Hands requests on to a registry, and keeps their headers. `elsewhere` says where a request is sent instead, `answer` what it gets at once."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, str, dict[str, str]]] = []
        self.wanted = ""  # as Authorization
        self.elsewhere: Callable[[str, str], str] = lambda _method, _path: ""
        self.answer: Callable[[str, str], tuple[int, dict[str, str], bytes] | None] = lambda _method, _path: None
        passing = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                passing.heard.append((self.command, self.path, dict(self.headers)))
                if passing.wanted and self.headers.get("Authorization") != passing.wanted:
                    return self.say(401, {"WWW-Authenticate": 'Basic realm="images"'}, b"")
                if said := passing.answer(self.command, self.path):
                    return self.say(*said)
                if where := passing.elsewhere(self.command, self.path):
                    return self.say(307, {"Location": where}, b"this is elsewhere" if self.command == "GET" else b"")
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as asked:
                    kept = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "authorization", "connection"}}
                    asked.request(self.command, self.path, body or None, kept)
                    reply = asked.getresponse()
                    return self.say(reply.status, dict(reply.getheaders()), reply.read())

            do_GET = do_HEAD = do_POST = do_PUT = any  # noqa: N815 - as the server names them

            def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                length = headers.pop("Content-Length", str(len(body)))
                for each in {**headers, "Content-Length": length if self.command == "HEAD" else str(len(body))}.items():
                    self.send_header(*each)
                self.end_headers()
                self.wfile.write(body if self.command != "HEAD" else b"")

            def log_message(self, *_words: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


SECRET = base64.b64encode(b"ann:secret").decode()


@pytest.fixture
def pair(registry_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Passing, Passing]]:
    """A registry that wants a password and has its blobs in a storage of another host (another port is another host), which wants none."""
    before, storage = Passing(registry_port), Passing(registry_port)
    before.wanted = f"Basic {SECRET}"
    before.elsewhere = lambda method, path: f"http://{storage.host}{path}?signature=x" if method in {"GET", "HEAD"} and "/blobs/sha256:" in path else ""
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"auths": {each.host: {"auth": SECRET} for each in (before, storage)}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    yield before, storage
    before.end()
    storage.end()


class TestRedirectedDistribution(RegistrySuite):
    """As ECR, GCR, Docker Hub and Harbor do it: blobs come from elsewhere."""

    adapter = "payoff.registries:distribution"

    @pytest.fixture
    def options(self, pair: tuple[Passing, Passing], tmp_path: Path) -> dict[str, Any]:
        return {"repository": f"{pair[0].host}/{tmp_path.name.replace('_', '-').lower().strip('-')}", "timeout": 5.0}

    @pytest.fixture
    def kept(self, registry: Any) -> Any:
        """A blob that is there."""
        made = blob(b"good bytes")
        registry.write(made, [b"good bytes"])
        return made

    def test_credentials_go_to_the_registry_alone(self, registry: Any, pair: tuple[Passing, Passing], kept: Any) -> None:
        before, storage = pair
        assert registry.has(kept)
        assert b"".join(registry.read(kept)) == b"good bytes"
        assert {method for method, _, _ in storage.heard} == {"HEAD", "GET"}
        for _, _, headers in storage.heard:
            assert "authorization" not in {name.lower() for name in headers}
            assert SECRET not in str(headers)
        assert before.heard[-1][2]["Authorization"] == f"Basic {SECRET}"

    def test_what_is_brought_elsewhere_comes_without_credentials(self, registry: Any, pair: tuple[Passing, Passing]) -> None:
        """An upload whose `Location` is another host."""
        before, storage = pair
        began = before.answer

        def elsewhere(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
            if method != "POST":
                return began(method, path)
            with contextlib.closing(http.client.HTTPConnection(storage.host, timeout=20)) as asked:
                asked.request("POST", path, headers={"Host": storage.host})
                reply = asked.getresponse()
                reply.read()
                where = urlsplit(reply.headers["Location"])
                return 202, {"Location": f"http://{storage.host}{where.path}?{where.query}"}, b""

        before.answer = elsewhere
        made = blob(b"brought")
        registry.write(made, [b"brought"])
        assert registry.has(made)
        puts = [headers for method, _, headers in storage.heard if method == "PUT"]
        assert len(puts) == 1
        assert SECRET not in str(puts)
        assert not [method for method, _, _ in before.heard if method == "PUT"]

    @pytest.mark.parametrize("where", ["http://storage.example.invalid/x", "http://192.0.2.1/x", "http://evil.invalid\\@127.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://[::1/", "http://127.0.0.1:x/"])
    def test_it_is_not_followed_where_nothing_is_encrypted(self, registry: Any, pair: tuple[Passing, Passing], kept: Any, where: str) -> None:
        before, storage = pair
        before.elsewhere = lambda _method, _path: where
        heard = len(storage.heard)
        for asks in (registry.has, lambda each: list(registry.read(each))):
            with pytest.raises(OutsideError) as caught:
                asks(kept)
            assert caught.value.code == "PO-A150"
        before.answer = lambda method, _path: (202, {"Location": where}, b"") if method == "POST" else None
        with pytest.raises(OutsideError) as caught:
            registry.write(blob(b"more"), [b"more"])
        assert caught.value.code == "PO-A150"
        assert len(storage.heard) == heard

    def test_a_registry_elsewhere_does_not_send_us_to_this_machine(self, tmp_path: Path) -> None:
        far = connect(self.adapter, tmp_path, {"repository": "registry.example.org/team/churn"})
        with pytest.raises(OutsideError, match="nothing is encrypted") as caught:
            far._checked("http://127.0.0.1:1/x")  # type: ignore[attr-defined]
        assert caught.value.code == "PO-A150"
        assert far._checked("https://storage.example.org/x?signature=y")  # type: ignore[attr-defined]
        homes = ["https://registry.example.org/v2/", "https://REGISTRY.example.org:443/", "http://registry.example.org/", "https://registry.example.org:444/", "https://registry.example.org.evil/"]
        assert [far._home(each) for each in homes] == [True, True, False, False, False]  # type: ignore[attr-defined]

    @pytest.mark.parametrize("hops", [5, 6])
    def test_it_is_followed_five_times(self, registry: Any, pair: tuple[Passing, Passing], kept: Any, hops: int) -> None:
        _, storage = pair
        storage.elsewhere = lambda _method, path: f"{path}x" if not path.endswith("x" * hops) else ""
        storage.answer = lambda _method, path: (200, {}, b"good bytes") if path.endswith("x" * hops) else None
        if hops == 5:
            assert b"".join(registry.read(kept)) == b"good bytes"
            return
        with pytest.raises(OutsideError, match="more than 5") as caught:
            list(registry.read(kept))
        assert caught.value.code == "PO-A150"

    @pytest.mark.parametrize("content", [b"evil bytes", b"good bytes and more of them" * 100_000, b"good"])
    def test_other_bytes(self, registry: Any, pair: tuple[Passing, Passing], kept: Any, content: bytes) -> None:
        """The digest is checked wherever they come from; of too many, none is handed out that is too many."""
        pair[1].answer = lambda _method, _path: (200, {}, content)
        taken = bytearray()
        with pytest.raises(OutsideError) as caught:
            for piece in registry.read(kept):
                taken += piece
        assert caught.value.code == "PO-A065"
        assert len(taken) <= len(b"good bytes")

    def test_a_storage_that_wants_credentials_gets_none(self, registry: Any, pair: tuple[Passing, Passing], kept: Any) -> None:
        """Nor does a service that it names."""
        _, storage = pair
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{storage.host}/token",service="x"'}
        storage.answer = lambda _method, _path: (401, dict(challenge), b"")
        with pytest.raises(OutsideError) as caught:
            list(registry.read(kept))
        assert caught.value.code == "PO-A151"
        assert not [path for _, path, _ in storage.heard if "token" in path]
        assert SECRET not in str(storage.heard)

    def test_a_storage_that_may_only_be_asked_by_get(self, registry: Any, pair: tuple[Passing, Passing], kept: Any) -> None:
        pair[1].answer = lambda method, _path: (403, {}, b"SignatureDoesNotMatch") if method == "HEAD" else None
        assert registry.has(kept)
        assert not registry.has(blob(b"never written"))

    def test_a_storage_that_fails_is_asked_again_by_way_of_the_registry(self, registry: Any, pair: tuple[Passing, Passing], kept: Any) -> None:
        """Its address may hold for a short time only."""
        before, storage = pair
        said = iter([503, 503])
        storage.answer = lambda _method, _path: (status, {}, b"SlowDown") if (status := next(said, 0)) else None
        asked = len(before.heard)
        assert b"".join(registry.read(kept)) == b"good bytes"
        assert len(before.heard) == asked + 3

    def test_a_manifest_without_end(self, registry: Any, pair: tuple[Passing, Passing]) -> None:
        pair[0].answer = lambda _method, _path: (200, {}, b" " * (5 << 20))
        with pytest.raises(OutsideError, match="larger than 4 MB"):
            registry.manifest("v1")
