"""TLS with a certificate of our own authority, by HTTP and gRPC; and several processes of a model, of which one is killed."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import importlib.util
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("flows_servers_of_secure", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)

ROW = {"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}
SETTINGS = '\n[serving]\ntoken = "${SERVE_TOKEN}"\ncertificate = "tls/server.pem"\nkey = "tls/server.key"\n'
TOKEN = "0123456789abcdef"


def signed(name: str, by: Any = None) -> tuple[Any, Any]:
    """A certificate and its key; one that signs others where nobody signs it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by:
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign((by[1] if by else key), hashes.SHA256()), key


def written(folder: Path, password: bytes = b"") -> Path:
    """An authority's certificate in `ca.pem`, a server's in `server.pem` with its key."""
    from cryptography.hazmat.primitives import serialization as how

    folder.mkdir(exist_ok=True)
    authority = signed("Payoff's tests")
    certificate, key = signed("127.0.0.1", authority)
    (folder / "ca.pem").write_bytes(authority[0].public_bytes(how.Encoding.PEM))
    (folder / "server.pem").write_bytes(certificate.public_bytes(how.Encoding.PEM))
    closed = how.BestAvailableEncryption(password) if password else how.NoEncryption()
    (folder / "server.key").write_bytes(key.private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, closed))
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def secure(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server on all addresses, which is what TLS and a token are for."""
    pytest.importorskip("grpc", reason="grpcio is not installed (uv pip install 'payoff[serve]')")
    folder = servers.copied(made_light, tmp_path_factory.mktemp("secure") / "Stück")
    written(folder / "tls")
    with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(SETTINGS)
    with servers.serving(folder, "--grpc-port", "0", "--host", "0.0.0.0", environ={"SERVE_TOKEN": TOKEN}) as running:
        yield running


def asked(server: Any, context: ssl.SSLContext, token: str = TOKEN) -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", int(server.host.rpartition(":")[2]), timeout=30, context=context)
    with contextlib.closing(connection):
        body = '{"rows": [{"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}]}'
        connection.request("POST", "/decide", body, {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def test_who_trusts_the_authority_is_answered_and_nobody_else(secure: Any) -> None:
    assert secure.address.startswith("https://0.0.0.0:")
    trusting = ssl.create_default_context(cafile=str(secure.folder / "tls" / "ca.pem"))
    assert asked(secure, trusting) == 200
    assert asked(secure, trusting, "0123456789abcdee") == 401
    with pytest.raises(ssl.SSLCertVerificationError):
        asked(secure, ssl.create_default_context())
    old = ssl.create_default_context(cafile=str(secure.folder / "tls" / "ca.pem"))
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert asked(secure, old) == 200


def test_what_is_not_encrypted_gets_no_answer(secure: Any) -> None:
    with socket.create_connection(("127.0.0.1", int(secure.host.rpartition(":")[2])), timeout=30) as plain:
        plain.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        with contextlib.suppress(ConnectionError):
            said = plain.recv(1000)
        assert b"HTTP" not in said
    assert asked(secure, ssl.create_default_context(cafile=str(secure.folder / "tls" / "ca.pem"))) == 200


def test_what_is_no_request_is_told_so_under_tls_too(secure: Any) -> None:
    """The connection ends as TLS ends; what is no TLS at all, again and again, fills no disk."""
    trusting = ssl.create_default_context(cafile=str(secure.folder / "tls" / "ca.pem"))
    at = ("127.0.0.1", int(secure.host.rpartition(":")[2]))
    for said, status in ((b"hello\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * 300_000), b"431")):
        with socket.create_connection(at, timeout=30) as plain, trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(said)
            answer = b""
            while part := client.recv(1 << 16):
                answer += part
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert answer.endswith(b"}")
    before = (secure.folder / "serve.err").stat().st_size
    for _ in range(100):
        with socket.create_connection(at, timeout=30) as plain:
            plain.sendall(b"no TLS at all\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                plain.recv(1000)
    assert asked(secure, trusting) == 200
    assert (secure.folder / "serve.err").stat().st_size - before < 5_000


def test_grpc_is_encrypted_as_well(secure: Any) -> None:
    import grpc

    from payoff.serving.protocols import messages

    def live(credentials: Any, words: list[tuple[str, str]]) -> Any:
        port = secure.grpc.rpartition(":")[2]
        channel = grpc.insecure_channel(f"127.0.0.1:{port}") if credentials is None else grpc.secure_channel(f"127.0.0.1:{port}", credentials)
        with channel:
            call = channel.unary_unary(
                f"/{messages.SERVICE}/ServerMetadata",
                request_serializer=messages.message("ServerMetadataRequest").SerializeToString,
                response_deserializer=messages.message("ServerMetadataResponse").FromString,
            )
            return call(messages.message("ServerMetadataRequest")(), timeout=10, metadata=words)

    trusting = grpc.ssl_channel_credentials((secure.folder / "tls" / "ca.pem").read_bytes())
    token = [("authorization", f"Bearer {TOKEN}")]
    assert live(trusting, token).name == "payoff"
    with pytest.raises(grpc.RpcError) as wrong:
        live(trusting, [])
    assert wrong.value.code() is grpc.StatusCode.UNAUTHENTICATED
    for credentials in (None, grpc.ssl_channel_credentials()):
        with pytest.raises(grpc.RpcError) as wrong:
            live(credentials, token)
        assert wrong.value.code() is grpc.StatusCode.UNAVAILABLE


def served_serial(server: Any) -> int:
    """The serial number of the certificate that a new connection gets."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", int(server.host.rpartition(":")[2]))).encode()).serial_number


def serial(folder: Path) -> int:
    from cryptography import x509

    return x509.load_pem_x509_certificate((folder / "server.pem").read_bytes()).serial_number


def test_a_renewed_certificate_is_taken_without_a_restart(made_light: Path, tmp_path: Path) -> None:
    """Renewed as Kubernetes does it, by a link to another folder; a connection that is open goes on."""
    import grpc

    folder = servers.copied(made_light, tmp_path / "renewed")
    written(folder / "first")
    written(folder / "second")
    (folder / "tls").symlink_to("first")
    with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(SETTINGS)
    with servers.serving(folder, "--grpc-port", "0", environ={"SERVE_TOKEN": TOKEN}) as server:
        assert served_serial(server) == serial(folder / "first")
        old = ssl.create_default_context(cafile=str(folder / "first" / "ca.pem"))
        kept = http.client.HTTPSConnection("127.0.0.1", int(server.host.rpartition(":")[2]), timeout=30, context=old)
        with contextlib.closing(kept):
            kept.request("GET", "/v2/health/live")
            assert kept.getresponse().read()
            (folder / "next").symlink_to("second")
            (folder / "next").rename(folder / "tls")
            servers.until(lambda: served_serial(server) == serial(folder / "second"))
            kept.request("GET", "/v2/health/live")
            assert kept.getresponse().status == 200
        assert asked(server, ssl.create_default_context(cafile=str(folder / "second" / "ca.pem"))) == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            asked(server, old)
        credentials = grpc.ssl_channel_credentials((folder / "second" / "ca.pem").read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{server.grpc.rpartition(':')[2]}", credentials) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)


def test_a_certificate_without_its_key_is_not_taken(made_light: Path, tmp_path: Path) -> None:
    """In the middle of a renewal the two files do not fit: the pair before stays, and that is told."""
    folder = servers.copied(made_light, tmp_path / "half")
    written(folder / "tls")
    written(folder / "second")
    with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(SETTINGS)
    before = serial(folder / "tls")
    with servers.serving(folder, environ={"SERVE_TOKEN": TOKEN}) as server:
        (folder / "second" / "server.pem").rename(folder / "tls" / "server.pem")
        servers.until(lambda: "PO-J056" in (folder / "serve.err").read_text(encoding="utf-8"))
        assert served_serial(server) == before
        (folder / "second" / "server.key").rename(folder / "tls" / "server.key")
        servers.until(lambda: served_serial(server) != before)
        assert served_serial(server) == serial(folder / "tls")


@pytest.mark.parametrize("fault", ["no file", "no certificate", "another key", "a password", "no key"])
def test_a_certificate_that_cannot_be_used_is_told_before_anything_is_served(light: Any, fault: str) -> None:
    folder = light.root / "tls"
    written(folder, b"secret" if fault == "a password" else b"")
    settings = SETTINGS
    match fault:
        case "no file":
            (folder / "server.pem").unlink()
        case "no certificate":
            (folder / "server.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        case "another key":
            written(folder.with_name("other"))
            (folder / "server.key").write_bytes((folder.with_name("other") / "server.key").read_bytes())
        case "no key":
            settings = settings.replace('key = "tls/server.key"\n', "")
    with open(light.root / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(settings)
    words = [servers.PAYOFF, "serve", "--port", "0"]
    environ = {**os.environ, "SERVE_TOKEN": TOKEN}
    done = subprocess.run(words, cwd=light.root, env=environ, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    assert "PO-J015" in done.stderr


def test_one_of_several_model_processes_is_killed_under_load(made_light: Path, tmp_path: Path) -> None:
    """Its batch is told so, everything else is answered; it comes back; nothing that was answered is missing from the log, and the figures are of all."""
    folder = servers.copied(made_light, tmp_path / "zwei")
    answered: list[str] = []
    refused: list[int] = []
    enough = threading.Event()

    def client(server: Any, number: int) -> None:
        count = 0
        while not enough.is_set():
            name = f"{number}-{count}"
            count += 1
            reply = server.ask("/decide", {"id": name, "rows": [ROW]})
            if reply.status == 200:
                answered.append(name)
            else:
                assert reply.json["code"] == "PO-J033"
                refused.append(reply.status)

    with servers.serving(folder, "--workers", "2") as server:
        assert server.metric("payoff_model_processes") == 2
        threads = [threading.Thread(target=client, args=(server, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        servers.until(lambda: len(answered) > 50)
        children = [int(each) for each in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()]
        assert len(children) == 2
        os.kill(children[0], signal.SIGKILL)
        at = len(answered)
        servers.until(lambda: len(answered) > at + 50)
        servers.until(lambda: server.metric("payoff_model_processes") == 2)
        enough.set()
        for thread in threads:
            thread.join()
        assert server.metric("payoff_model_restarts_total") == 1
        assert set(refused) <= {503}
        assert len(refused) <= 6  # one batch
        text = server.ask("/metrics").body.decode()
        assert f'payoff_rows_total{{route="decide"}} {len(answered)}' in text
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 45
    requests = servers.logged(folder)["request"].to_pylist()
    assert set(answered) <= set(requests)
    assert len(requests) == len(set(requests)) == len(answered)
    assert not list((folder / ".payoff" / "serving" / "log").rglob("*.arrows"))
