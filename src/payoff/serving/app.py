"""HTTP: which path is answered by what, who may ask, and how much."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import msgspec

from payoff import __version__
from payoff.base import hashing
from payoff.base.clock import stopwatch
from payoff.base.ids import new_request_id
from payoff.serving.faults import Wrong
from payoff.serving.protocols import described, openapi, tables, tensors
from payoff.serving.service import ACTION, LARGE, PAYOFF

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from payoff.serving.service import Answered, Service

    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON, TEXT, BINARY = b"application/json", b"text/plain; version=0.0.4; charset=utf-8", b"application/octet-stream"
LENGTH = b"inference-header-content-length"
_OPEN = ("health", "ping")  # who watches whether we are there needs no token
_WORDS = ("invocations", "decide", "version", "metrics", "health", "ping")
_DIGITS = 20  # of a length; Python reads no number of thousands of them
_json = msgspec.json.Encoder()


class Reply(NamedTuple):
    """What goes back."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Call(NamedTuple):
    """A request that may be answered: its headers, its body, what it is called."""

    headers: Mapping[bytes, bytes]
    body: bytes
    request: str


class NotBy(Wrong):
    """The address is there, and asked by another method."""

    def __init__(self, wanted: str) -> None:
        said = f"this address is asked by {wanted}"
        super().__init__(said, code="PO-J026", remedy=f"send it by {wanted}", status=405)
        self.allowed = b"POST" if wanted == "POST" else b"GET, HEAD"


class App:
    """The ASGI application. `token`: what clients must have (empty: nothing)."""

    def __init__(self, service: Service, token: str = "") -> None:
        self._service, self._token = service, token
        served = service.served
        self._name, self._version = served.name, served.version
        self._kinds = {column.name: column.type for column in (*served.columns, *([served.id] if served.id else []))}
        self._posts: dict[str, Callable[[Call], Awaitable[Reply]]] = {
            "infer": self._infer,
            "invocations": self._invocations,
            "decide": self._decide,
        }
        self._described = _document(openapi.document(served, token=bool(token)))
        self._gets: dict[str, Callable[[], Reply]] = {
            "health": lambda: Reply(200, b'{"live":true}'),
            "ready": self._ready,
            "model ready": self._ready,
            "server": lambda: _document(described.server()),
            "model": lambda: _document(described.model(service.served)),
            "ping": lambda: Reply(200, b"\n"),
            "version": lambda: Reply(200, __version__.encode(), b"text/plain"),
            "openapi": lambda: self._described,
            "metrics": lambda: Reply(200, service.metrics.text(service.gauges()), TEXT),
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if "method" not in scope:
            return
        began = stopwatch()
        headers = dict(scope["headers"])
        request = headers.get(b"x-request-id", b"").decode("ascii", "replace")[:128] or new_request_id()
        route = self._route(scope["raw_path"].decode("ascii"))
        self._service.under_way += 1
        try:
            reply = await self._answer(scope, receive, route, headers, request)
        except Wrong as wrong:
            reply = self._refusal(wrong, route)
        except Exception as error:  # a defect of ours must not end the server
            self._service.metrics.tell(f"PO-J039: {type(error).__name__}: {error}")
            defect = Wrong(
                "the server failed", code="PO-J039", remedy="report it with the server's own output", status=500
            )
            reply = self._refusal(defect, route)
        finally:
            self._service.under_way -= 1
        self._service.metrics.answered(route or "unknown", reply.status, stopwatch() - began)
        await _send(send, reply, request)

    async def _answer(
        self, scope: Mapping[str, Any], receive: Receive, route: str, headers: Mapping[bytes, bytes], request: str
    ) -> Reply:
        if not route:
            raise Wrong(
                "there is nothing at this address",
                code="PO-J026",
                remedy="see docs/serving.md for the addresses",
                status=404,
            )
        method = scope["method"]
        wanted = "POST" if route in self._posts else "GET"
        if method != wanted and not (wanted == "GET" and method == "HEAD"):
            raise NotBy(wanted)
        if self._token and route not in (*_OPEN, "ready"):
            self._know(headers, beside=route == "metrics")
        if wanted == "GET":
            return self._gets[route]()
        self._service.refuse()
        body = await self._body(receive, headers)
        return await self._posts[route](Call(headers, body, request))

    def _route(self, path: str) -> str:
        """What an address means, percent-encoded as it came; empty where it means nothing, or is of another model or version."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[0] != "v2":
            word = "/".join(parts)
            return {"openapi.json": "openapi"}.get(word) or (word if word in _WORDS else "")
        match parts[1:]:
            case []:
                return "server"
            case ["health", "live"]:
                return "health"
            case ["health", "ready"]:
                return "ready"
            case ["models", name, *rest] if name == self._name:
                if rest[:1] == ["versions"]:
                    if rest[1:2] != [self._version]:
                        return ""
                    rest = rest[2:]
                return {(): "model", ("ready",): "model ready", ("infer",): "infer"}.get(tuple(rest), "")
        return ""

    def _know(self, headers: Mapping[bytes, bytes], *, beside: bool) -> None:
        """`beside`: also in a header of its own, for what comes through a proxy that keeps `Authorization` to itself, as a cluster's API does."""
        sent = headers.get(b"authorization", b"").decode("latin-1")
        scheme, _, token = sent.partition(" ")
        if beside and b"x-payoff-token" in headers:
            scheme, token = "bearer", headers[b"x-payoff-token"].decode("latin-1")
        if scheme.lower() != "bearer" or not hashing.same(token.strip(), self._token):
            raise Wrong(
                "there is no token, or another",
                code="PO-J027",
                remedy="send the header Authorization: Bearer TOKEN",
                status=401,
            )

    async def _body(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        limits = self._service.limits
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise Wrong("the body is compressed", code="PO-J028", remedy="send it as it is", status=415)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limits.body:
            raise _too_large(limits.body)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limits.read):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Wrong("the client went away", code="PO-J029", remedy="send the whole body", status=400)
                    part = message.get("body", b"")
                    size += len(part)
                    if size > limits.body:
                        raise _too_large(limits.body)
                    parts.append(part)
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise Wrong(
                f"the body did not come within {limits.read:g} seconds",
                code="PO-J029",
                remedy="send the whole body sooner",
                status=408,
            ) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # -- what is asked

    async def _infer(self, call: Call) -> Reply:
        length = call.headers.get(LENGTH)
        if length is not None and not (length.isdigit() and len(length) < _DIGITS):
            raise Wrong(
                "Inference-Header-Content-Length is no number",
                code="PO-J020",
                remedy="send the length of the JSON in bytes",
            )
        size = None if length is None else int(length)
        read = await self._service.beside(
            lambda: tensors.read(call.body, size, self._service.checker.features), large=len(call.body) > LARGE
        )
        decides = ACTION in read.wanted or PAYOFF in read.wanted
        request = read.id[:128] or call.request
        answered = await self._service.ask(read.columns, read.rows, route="infer", request=request, decides=decides)
        body, size = tensors.write(self._name, self._version, self._service.columns(answered), read)
        if size is None:
            return Reply(200, body)
        return Reply(200, body, BINARY, ((LENGTH, str(size).encode()),))

    async def _invocations(self, call: Call) -> Reply:
        table = await self._service.beside(lambda: self._table(call), large=len(call.body) > LARGE)
        answered = await self._service.ask(
            table.columns, table.rows, route="invocations", request=table.id[:128] or call.request
        )
        columns = [answered.part.floats(name) for name in self._service.outputs]
        rows = columns[0] if self._service.served.classes is None else list(zip(*columns, strict=True))
        return _document({"predictions": rows})

    async def _decide(self, call: Call) -> Reply:
        table = await self._service.beside(lambda: self._table(call), large=len(call.body) > LARGE)
        request = table.id[:128] or call.request
        answered = await self._service.ask(table.columns, table.rows, route="decide", request=request, decides=True)
        return _document(self._decisions(answered, request))

    def _decisions(self, answered: Answered, request: str) -> dict[str, Any]:
        served, part, decisions = self._service.served, answered.part, answered.decisions
        assert decisions is not None  # noqa: S101 - asked for
        here = slice(part.first, part.first + part.number)
        actions, known = self._service.decided(answered)
        expected: list[float | None] = [None] * len(actions) if known is None else [*known]
        rows: list[dict[str, Any]] = [
            {"action": action, "expected_payoff": worth} for action, worth in zip(actions, expected, strict=True)
        ]
        if decisions.forecasts is not None:
            for row, forecast in zip(rows, decisions.forecasts[here].tolist(), strict=True):
                row["forecast"] = forecast
        if decisions.worth is not None:
            names, outcomes = served.charter.actions, served.charter.outcomes
            chances = zip(*(decisions.chances[name][here].tolist() for name in outcomes), strict=True)
            for row, each, chance in zip(rows, decisions.worth[here].tolist(), chances, strict=True):
                row["payoffs"] = dict(zip(names, each, strict=True))
                row["probabilities"] = dict(zip(outcomes, chance, strict=True))
        told: dict[str, Any] = {
            "model": self._name,
            "version": self._version,
            "id": request,
            "currency": served.charter.currency,
        }
        if served.charter.quantity is not None:
            told["unit"] = served.charter.quantity.unit
        if served.charter.capacity is not None and served.bar is not None:
            told["capacity"] = {"action": served.charter.capacity.action, "bar": served.bar.every, "counted": False}
        return {**told, "decisions": rows}

    def _table(self, call: Call) -> tables.Table:
        kind = call.headers.get(b"content-type", JSON).split(b";")[0].strip().lower()
        if kind == b"text/csv":
            return tables.read_csv(call.body, self._kinds)
        if kind != JSON:
            raise Wrong(
                "the body is neither JSON nor CSV",
                code="PO-J028",
                remedy="send Content-Type application/json or text/csv",
                status=415,
            )
        return tables.read(call.body, self._service.checker.features)

    def _ready(self) -> Reply:
        why = self._service.not_ready
        return _document({"ready": not why, **({"why": why} if why else {})}, 503 if why else 200)

    def _refusal(self, wrong: Wrong, route: str) -> Reply:
        document = wrong.document()
        if route == "invocations":
            document |= {
                "error_code": "BAD_REQUEST" if wrong.status < 500 else "INTERNAL_ERROR",
                "message": document["error"],
            }
        headers: list[tuple[bytes, bytes]] = []
        if isinstance(wrong, NotBy):
            headers.append((b"allow", wrong.allowed))
        if wrong.retry is not None:
            headers.append((b"retry-after", str(max(1, round(wrong.retry))).encode()))
        if wrong.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if wrong.status in {408, 413}:
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        return Reply(wrong.status, _json.encode(document), JSON, tuple(headers))


def _document(value: Any, status: int = 200) -> Reply:
    return Reply(status, _json.encode(value))


def _too_large(most: int) -> Wrong:
    return Wrong(
        f"the body is larger than {most:,} bytes",
        code="PO-J029",
        remedy="send fewer rows at once, or raise --max-body",
        status=413,
    )


async def _send(send: Send, reply: Reply, request: str) -> None:
    headers = [
        (b"content-type", reply.kind),
        (b"content-length", str(len(reply.body)).encode()),
        (b"x-request-id", request.encode("ascii", "replace")),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
