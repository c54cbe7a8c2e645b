"""gRPC: the Open Inference Protocol's service, beside HTTP, with the same batches, limits and log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from payoff.base import hashing
from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError
from payoff.base.ids import new_request_id
from payoff.serving.faults import Wrong, unreadable
from payoff.serving.protocols import described, messages, tensors
from payoff.serving.service import ACTION, LARGE, PAYOFF

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from payoff.serving.service import Service
    from payoff.serving.wire.certificates import Certificate

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Datatype -> the field of a tensor's contents that has its values.
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents",
    "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
_OPEN = ("ServerLive", "ServerReady")


class Rpc:
    """The service's calls."""

    def __init__(self, service: Service, token: str) -> None:
        self._service, self._token = service, token
        self._served = service.served
        self._calls: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server,
            "ModelMetadata": self._model,
            "ModelInfer": self._infer,
        }

    @property
    def calls(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._calls)

    async def answer(self, name: str, asked: AsyncIterator[bytes], context: Any) -> Any:
        """One call, its message still in bytes and perhaps on its way; what the client did wrong ends it with a status and one line of text."""
        began = stopwatch()
        status, wrong = 200, None
        self._service.under_way += 1
        try:
            if self._token and name not in _OPEN:
                self._know(context)
            return await self._calls[name](_parsed(name, await self._read(asked)), context)
        except Wrong as error:
            wrong, status = error, error.status
        except Exception as error:  # a defect of ours must not end the server
            self._service.metrics.tell(f"PO-J039: {type(error).__name__}: {error}")
            wrong = Wrong(
                "the server failed", code="PO-J039", remedy="report it with the server's own output", status=500
            )
            status = 500
        finally:
            self._service.under_way -= 1
            self._service.metrics.answered(f"grpc {name}", status, stopwatch() - began)
        if wrong.retry is not None:
            context.set_trailing_metadata((("retry-after", str(max(1, round(wrong.retry)))),))
        return await context.abort(_STATUS.get(wrong.status, grpc.StatusCode.INTERNAL), wrong.said())

    async def _read(self, asked: AsyncIterator[bytes]) -> bytes:
        seconds = self._service.limits.read
        try:
            async with asyncio.timeout(seconds):
                return await anext(asked)
        except TimeoutError:
            raise Wrong(
                f"no message came within {seconds:g} s", code="PO-J029", remedy="send it with the call", status=504
            ) from None
        except StopAsyncIteration:
            raise unreadable("there is no message") from None

    def _know(self, context: Any) -> None:
        sent = dict(context.invocation_metadata() or ()).get("authorization", "")
        scheme, _, token = str(sent).partition(" ")
        if scheme.lower() != "bearer" or not hashing.same(token.strip(), self._token):
            raise Wrong(
                "there is no token, or another", code="PO-J027", remedy="send authorization: Bearer TOKEN", status=401
            )

    async def _live(self, _request: Any, _context: Any) -> Any:
        return messages.message("ServerLiveResponse")(live=True)

    async def _ready(self, _request: Any, _context: Any) -> Any:
        return messages.message("ServerReadyResponse")(ready=not self._service.not_ready)

    async def _model_ready(self, request: Any, _context: Any) -> Any:
        self._refuse_other(request.name, request.version)
        return messages.message("ModelReadyResponse")(ready=not self._service.not_ready)

    async def _server(self, _request: Any, _context: Any) -> Any:
        return messages.message("ServerMetadataResponse")(**described.server())

    async def _model(self, request: Any, _context: Any) -> Any:
        self._refuse_other(request.name, request.version)
        return messages.message("ModelMetadataResponse")(**described.model(self._served))

    def _refuse_other(self, name: str, version: str) -> None:
        if name != self._served.name or version not in ("", self._served.version):
            raise Wrong(
                "there is no such model, or not this version", code="PO-J026", remedy="ask ServerMetadata", status=404
            )

    async def _infer(self, request: Any, context: Any) -> Any:
        self._refuse_other(request.model_name, request.model_version)
        self._service.refuse()
        made = await self._service.beside(
            lambda: _columns(request, self._service.checker.features), large=request.ByteSize() > LARGE
        )
        wanted = [each.name for each in request.outputs]
        decides = ACTION in wanted or PAYOFF in wanted
        name = request.id[:128] or new_request_id()
        answered = await self._service.ask(made.columns, made.rows, route="grpc", request=name, decides=decides)
        answer = messages.message("ModelInferResponse")(
            model_name=self._served.name, model_version=self._served.version, id=request.id
        )
        for each, output in tensors.chosen(self._service.columns(answered), wanted).items():
            tensor = answer.outputs.add(name=each, datatype=output.datatype, shape=[len(output.values)])
            if request.raw_input_contents:
                answer.raw_output_contents.append(tensors.to_bytes(output.datatype, output.values))
            elif output.datatype == tensors.BYTES:
                tensor.contents.bytes_contents.extend(value.encode() for value in output.values)
            else:
                getattr(tensor.contents, _CONTENTS[output.datatype]).extend(output.values)
        return answer


def _parsed(name: str, body: bytes) -> Any:
    try:
        return messages.message(f"{name}Request").FromString(body)
    except DecodeError:
        raise unreadable(f"the bytes are no {name}Request") from None


def _columns(request: Any, features: tuple[str, ...]) -> tensors.Columns:
    if not request.inputs:
        raise unreadable("there are no inputs; at least one is expected")
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise unreadable(f"there are {len(raw)} raw contents for {len(request.inputs)} inputs")
    made = tensors.Columns(features)
    for place, tensor in enumerate(request.inputs):
        if raw:
            if tensor.HasField("contents"):
                raise unreadable(f"input {tensor.name!r} comes in contents and as bytes")
            values = tensors.from_bytes(tensor.datatype, raw[place], tensor.name)
        else:
            field = _CONTENTS.get(tensor.datatype)
            if field is None:
                if tensor.datatype in tensors.TYPES:
                    raise unreadable(f"input {tensor.name!r}: {tensor.datatype} comes in raw_input_contents alone")
                raise tensors.unknown(tensor.name, tensor.datatype)
            values = tensors.within(tensor.datatype, list(getattr(tensor.contents, field)), tensor.name)
            if tensor.datatype == tensors.BYTES:
                values = [tensors.text(each, tensor.name) for each in values]
        made.add(tensor.name, list(tensor.shape), values)
    return made


async def listen(service: Service, token: str, address: str, certificate: Certificate | None) -> tuple[Any, int]:
    """Start to answer at `host:port`; the server, and the port that it has."""
    largest = service.limits.body
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=service.limits.requests,
    )
    rpc = Rpc(service, token)

    def handler(name: str) -> Any:
        async def answer(asked: AsyncIterator[bytes], context: Any) -> Any:
            return await rpc.answer(name, asked, context)

        # One message is what a client sends. Read by us, it may be waited for no longer than HTTP's body (the library would wait for ever, and the call keep its place), and
        # what is no message is refused with a status and a code, as everything else that is wrong.
        return name, grpc.stream_unary_rpc_method_handler(
            answer, response_serializer=messages.message(f"{name}Response").SerializeToString
        )

    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(messages.SERVICE, dict(map(handler, rpc.calls)))]
    )
    try:
        if certificate is None:
            port = server.add_insecure_port(address)
        else:

            def newest() -> Any:
                """Asked at each handshake."""
                chain, key = certificate.pair
                return grpc.ssl_server_certificate_configuration([(key, chain)])

            port = server.add_secure_port(address, grpc.dynamic_ssl_server_credentials(newest(), newest))
    except RuntimeError:
        raise OutsideError(
            f"the server cannot listen at {address}",
            code="PO-J014",
            expected="a free port of an address of this machine",
            remedy="choose another with --grpc-port, or see what has it: ss -ltnp",
        ) from None
    await server.start()
    return server, int(port)
