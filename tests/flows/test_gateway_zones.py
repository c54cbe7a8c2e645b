"""Two zones as two network namespaces of this machine: what crosses the link between them is captured, packet by packet."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("flows_test_gateway", Path(__file__).with_name("test_gateway.py"))
assert _spec and _spec.loader
served = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = served
_spec.loader.exec_module(served)
gateways, projects = served.gateways, served.projects

CAPTURE = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
tap.bind((sys.argv[1], 0))
with open(sys.argv[2], "wb", buffering=0) as file:
    print("ready", flush=True)
    while True:
        frame = tap.recv(1 << 18)
        at = 14 + (frame[14] & 15) * 4
        if frame[12:14] == b"\\x08\\x00" and frame[23] == 6:
            file.write(frame[at + (frame[at + 12] >> 4) * 4 : 14 + int.from_bytes(frame[16:18], "big")])
"""
READ = """
import sys
from pyarrow import flight
client = flight.FlightClient(sys.argv[1])
options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer " + sys.argv[2].encode())])
for ask in sys.argv[3:]:
    try:
        info = client.get_flight_info(flight.FlightDescriptor.for_command(ask.encode()), options)
        print(client.do_get(info.endpoints[0].ticket, options).read_all().num_rows)
    except flight.FlightError as error:
        print("PO-" + str(error).partition("PO-")[2][:4])
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Link:
    """Two namespaces with a cable between them."""

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        self.fra, self.vir = f"pf{mark}a", f"pf{mark}b"
        net = f"10.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}"
        self.address = f"{net}.1"
        self._far = f"{net}.2"

    def __enter__(self) -> Link:
        ip("netns", "add", self.fra)
        ip("netns", "add", self.vir)
        ip("-n", self.fra, "link", "add", self.fra, "type", "veth", "peer", "name", self.vir, "netns", self.vir)
        for name, address in ((self.fra, self.address), (self.vir, self._far)):
            ip("-n", name, "address", "add", f"{address}/30", "dev", name)
            ip("-n", name, "link", "set", name, "up")
            ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *error: object) -> None:
        for name in (self.fra, self.vir):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def inside(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", name]

    @contextlib.contextmanager
    def captured(self, file: Path) -> Iterator[None]:
        """Everything that TCP carries over the link meanwhile, into a file."""
        command = [*self.inside(self.vir), sys.executable, "-c", CAPTURE, self.vir, str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tap:
            try:
                assert tap.stdout is not None
                assert tap.stdout.readline() == "ready\n"
                yield
                time.sleep(0.3)
            finally:
                tap.kill()


@pytest.fixture
def link() -> Iterator[Link]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2 (apt-get install iproute2)")
    made = Link()
    try:
        made.__enter__()
    except subprocess.CalledProcessError as error:
        made.__exit__()
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
    yield made
    made.__exit__()


MARKS = [100 + n + 0.12345678 for n in range(200)]


def marked(light: Any) -> None:
    """Lifetime values that nothing else has."""
    file = light.root / "data/customers.csv"
    head, *rows = file.read_text().splitlines()
    at = head.split(",").index("lifetime_value")
    for number, mark in enumerate(MARKS):
        cells = rows[number].split(",")
        cells[at] = repr(mark)
        rows[number] = ",".join(cells)
    file.write_text("\n".join([head, *rows]) + "\n")


def of_the_other_zone(light: Any, address: str) -> None:
    """The same decision in vir, where the customers and the means of their worth come through the gateway."""
    light.change("payoff.toml", 'kind = "files"\npath = "data/customers.csv"\n', there(address, "customers") + "\n[sources.worths]\n" + there(address, "worths"))
    light.change("payoff.toml", "[project]\n", '[project]\nzone = "vir"\n')
    light.append("payoff.toml", gateways.ZONES)
    file = light.root / "contracts/customers.yaml"
    kept = [line for line in file.read_text().splitlines() if "name: lifetime_value" not in line and "{ name: name," not in line]
    file.write_text("\n".join(kept) + "\n")
    (light.root / "sql/examples.sql").write_text(
        "select c.customer_id, c.tenure, c.calls_to_support, c.late_payments, w.worth as lifetime_value, c.churned\n"
        "from customers c join worths w using (calls_to_support)\n"
    )
    (light.root / "data/customers.csv").unlink()


def there(address: str, table: str) -> str:
    return f'kind = "gateway"\naddress = "{address}"\ntoken = "${{US_TOKEN}}"\ntable = "{table}"\nzone = "fra"\n'


def doubles(values: Any) -> list[bytes]:
    return [struct.pack("<d", value) for value in values]


def test_marked_values_never_cross_and_the_declared_aggregate_does(made_light: Path, tmp_path: Path, link: Link) -> None:
    here = projects.Light(projects.copy(made_light, tmp_path / "fra"))
    marked(here)
    served.offering(here)
    here.change("payoff.toml", "[gateway]\n", "[gateway]\ninsecure = true\n")
    means = doubles(aggregate(here))
    far = projects.Light(projects.copy(made_light, tmp_path / "vir"))
    shutil.rmtree(far.root / ".payoff/store")
    with gateways.running(here.root, "--host", link.address, before=link.inside(link.fra)) as running:
        of_the_other_zone(far, running.address)
        with link.captured(tmp_path / "run"):
            done = subprocess.run(
                [*link.inside(link.vir), gateways.PAYOFF, "run", "--json"], cwd=far.root, env=os.environ | gateways.TOKENS,
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            record = json.loads(done.stdout)
            tries = ['{"table": "customers", "columns": ["name"]}', '{"table": "customers", "columns": ["customer_id", "lifetime_value"]}']
            refused = read_in_vir(link, running.address, "US_TOKEN", *tries, '{"table": "examples"}')
        with link.captured(tmp_path / "control"):
            assert int(read_in_vir(link, running.address, "EU_TOKEN", '{"table": "customers"}', purpose=True)[0]) > 0
    assert record["status"] in ("passed", "refused"), record
    assert record["per_year"]["model"], "a model was judged on what came over the link"
    assert refused[:2] == ["PO-F002", "PO-F001"]

    crossed, control = (tmp_path / "run").read_bytes(), (tmp_path / "control").read_bytes()
    assert all(mean in crossed for mean in means), "the capture works: every mean of the declared aggregate was seen"
    marks = doubles(MARKS)
    assert not [mark for mark in marks if mark in crossed]
    assert projects.SECRET.encode() not in crossed
    assert b".12345678" not in crossed, "nor in the form of text"
    assert sum(mark in control for mark in marks) > len(marks) * 0.9, "they would have been seen"
    assert projects.SECRET.encode() in control

    mine = json.loads(here.payoff("data", "audit", "--json"))["audit"]
    reads = [(each["table"], each["who"], bool(each.get("refused"))) for each in mine if each["how"] == "gateway"]
    assert {("customers", "us", False), ("worths", "us", False), ("customers", "us", True), ("customers", "eu", False)} <= set(reads)


def read_in_vir(link: Link, address: str, token: str, *asks: str, purpose: bool = False) -> list[str]:
    script = READ.replace(".encode())])\n", '.encode()), (b"payoff-purpose", b"retention")])\n', 1) if purpose else READ
    command = [*link.inside(link.vir), sys.executable, "-c", script, address, gateways.TOKENS[token], *asks]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()


def aggregate(light: Any) -> list[float]:
    artifact = json.loads(light.payoff("show", "--json"))["tables"]["worths"]
    (file,) = (light.root / ".payoff/store/tables").rglob(f"{artifact['id']}.arrow")
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()["worth"].to_pylist()
