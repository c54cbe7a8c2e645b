"""A gateway under TLS over a project whose table tests write themselves, and a way to cut what comes from it."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import ipaddress
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

_place = Path(__file__).parents[1] / "flows" / "gateways.py"
_spec = importlib.util.spec_from_file_location("flows_gateways_of_contracts", _place)
assert _spec and _spec.loader
processes = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = processes
_spec.loader.exec_module(processes)

TOKEN = processes.TOKENS["US_TOKEN"]
MORE = """
[sources.people]
kind = "files"
path = "data/people.arrow"
[gateway]
tables = ["people"]
batch_rows = 50_000
certificate = "gateway.pem"
key = "gateway.key.pem"
[gateway.readers.us]
token = "${US_TOKEN}"
zone = "here"
clearance = "confidential"
"""
CONTRACT = """{"apiVersion": "v3.0.2", "kind": "DataContract", "id": "people", "version": "1.0.0", "status": "active", "schema": [
{"name": "people", "properties": [{"name": "hidden", "logicalType": "integer", "classification": "secret"}]}]}"""


class Place:
    """The project of the other zone; `put` writes the table that it offers."""

    def __init__(self, root: Path, address: str) -> None:
        self.root = root
        self.options: dict[str, Any] = {"address": address, "token": TOKEN, "table": "people", "ca": str(root / "gateway.pem")}

    def put(self, table: pa.Table) -> None:
        write(self.root, table)


def write(root: Path, table: pa.Table) -> None:
    part = root / "data" / "people.part"
    with pa.ipc.new_file(str(part), table.schema) as writer:
        writer.write_table(table, max_chunksize=100_000)
    part.replace(root / "data" / "people.arrow")


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Place]:
    """A project with its gateway."""
    subprocess.run([processes.PAYOFF, "init", str(folder)], check=True, capture_output=True, timeout=120)
    shutil.rmtree(folder / ".venv", ignore_errors=True)
    with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(MORE)
    (folder / "contracts/people.yaml").write_text(CONTRACT)
    certify(folder)
    write(folder, pa.table({"hidden": [0]}))
    with processes.running(folder) as running:
        yield Place(folder, running.address)


def certify(folder: Path) -> None:
    """A certificate for this machine, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "gateway.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    written = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "gateway.key.pem").write_bytes(written)


class Wire:
    """Passes bytes between a client and a gateway, and cuts each connection after so many bytes have come from there."""

    def __init__(self, address: str, most: int) -> None:
        self.target = ("127.0.0.1", int(address.rpartition(":")[2]))
        self.most = most
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
                there = socket.create_connection(self.target)
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client, there, None), daemon=True).start()
            threading.Thread(target=self._pass, args=(there, client, self.most), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, most: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                passed += len(data)
                if most is not None and passed > most:
                    break
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        self.server.close()
