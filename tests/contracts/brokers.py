"""Real brokers for the length of a test: nats-server, redis-server, and the broker that Kafka's client library brings along."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "geheim-0815"
_MOCK = """
import logging, sys
from confluent_kafka import Producer
quiet = logging.getLogger("mock"); quiet.addHandler(logging.NullHandler()); quiet.propagate = False
broker = Producer({"bootstrap.servers": "", "test.mock.num.brokers": "1"}, logger=quiet)
print(",".join(f"{b.host}:{b.port}" for b in broker.list_topics(timeout=10).brokers.values()), flush=True)
sys.stdin.read()
"""


def free_port() -> int:
    """Of those that the system gives nobody by itself: no other program can have it before it is used."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])


class Server:
    """A server with a folder, which can be killed and started again on what it has written."""

    def __init__(self, program: str, package: str) -> None:
        found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
        if found is None:
            pytest.skip(f"{package} is not installed (make .make/servers)")
        self.program = found
        self.folder = Path(tempfile.mkdtemp(prefix="payoff-broker-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def words(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([self.program, *self.words()], stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 30
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.program} did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self, hello: bytes, wanted: bytes) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
            with contextlib.suppress(OSError):
                probe.sendall(hello)
                return wanted in probe.recv(4096)
        return False


class NatsServer(Server):
    """JetStream, with a user and a password."""

    def __init__(self) -> None:
        super().__init__("nats-server", "nats-server")

    def words(self) -> list[str]:
        return ["-js", "-sd", str(self.folder / "data"), "-a", "127.0.0.1", "-p", str(self.port), "--user", "tester", "--pass", PASSWORD]

    def ready(self) -> bool:
        return self.said(b"", b"INFO")

    @property
    def options(self) -> dict[str, Any]:
        return {"servers": f"nats://127.0.0.1:{self.port}", "user": "tester", "password": PASSWORD}

    def ask(self, work: Any) -> Any:
        """What a coroutine over a client answers."""
        import nats

        async def run() -> Any:
            client = await nats.connect(self.options["servers"], user="tester", password=PASSWORD, allow_reconnect=False)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()
                await asyncio.sleep(0.02)  # the socket is closed in a later turn of the loop

        return asyncio.run(run())

    def send(self, name: str, messages: list[bytes]) -> None:
        async def work(jetstream: Any) -> None:
            with contextlib.suppress(Exception):
                await jetstream.stream_info(name)
                return await publish(jetstream)
            await jetstream.add_stream(name=name, subjects=[f"{name}.*"])
            return await publish(jetstream)

        async def publish(jetstream: Any) -> None:
            sent = [await jetstream.publish_async(f"{name}.{number % 3}", each) for number, each in enumerate(messages)]
            await asyncio.gather(*sent)

        self.ask(work)


class RedisServer(Server):
    """Every entry is on the disk before it is acknowledged; with a password."""

    def __init__(self) -> None:
        super().__init__("redis-server", "redis-server")

    def words(self) -> list[str]:
        return [
            "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--appendonly", "yes", "--appendfsync", "always",
            "--save", "", "--dir", str(self.folder),
        ]  # fmt: skip

    def ready(self) -> bool:
        return self.said(b"PING\r\n", b"NOAUTH")

    @property
    def options(self) -> dict[str, Any]:
        return {"address": f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"}

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        import redis

        client = redis.Redis.from_url(self.options["address"])
        try:
            yield client
        finally:
            client.close()

    def send(self, name: str, messages: list[bytes]) -> None:
        with self.client() as client:
            for start in range(0, len(messages), 500):
                pipe = client.pipeline(transaction=False)
                for each in messages[start : start + 500]:
                    pipe.xadd(name, {"payload": each})
                pipe.execute()


class KafkaBroker:
    """The client library's own broker, in a process of its own; it keeps 5 MB of each partition, in memory."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", _MOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.servers = self.process.stdout.readline().strip()

    @property
    def options(self) -> dict[str, Any]:
        return {"servers": self.servers}

    def send(self, name: str, messages: list[bytes], *, one: bool = False, times: list[int] | None = None) -> None:
        from confluent_kafka import Producer

        quiet = logging.getLogger("quiet")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 1}, logger=quiet)
        for number, each in enumerate(messages):
            more = {"timestamp": times[number]} if times else {}
            producer.produce(name, each, key=b"k" if one else str(number).encode(), **more)
            producer.poll(0)
        assert producer.flush(20) == 0

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def objects(begin: int, end: int) -> list[bytes]:
    return [json.dumps({"id": number}).encode() for number in range(begin, end)]
