"""Registries: a folder, and Debian's registry server; images there are read by another tool."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from payoff.base.errors import OutsideError, UserError
from payoff.testing.releasing.registry import RegistrySuite, blob, connect, push, small_image

if TYPE_CHECKING:
    from collections.abc import Iterator

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
