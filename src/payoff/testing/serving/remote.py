"""What a server does by gRPC."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.testing.serving.asked import Input, answers_rows, changes, inputs
from payoff.testing.serving.suite import NONE, fits, together
from payoff.testing.serving.values import BYTES, DATATYPES, alike, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Datatype -> the field of a tensor's contents that has its values; FP16 has none.
FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents",
    "FP64": "fp64_contents", BYTES: "bytes_contents",
}  # fmt: skip


def _library() -> Any:
    return pytest.importorskip("grpc", reason="grpcio is not installed (uv pip install 'payoff[serve]')")


class NotOk(AssertionError):
    """A call that ended with another status than OK."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code


class Remote:
    """A model behind an address, asked by gRPC. Messages are those of the protocol; an answer with a field that it does not have is no answer."""

    def __init__(self, channel: Any, name: str, row: Mapping[str, Any], metadata: tuple[tuple[str, str], ...]) -> None:
        from payoff.serving.protocols import messages

        self._channel, self._metadata, self._messages = channel, metadata, messages
        self.name = name
        self.described = self.call("ModelMetadata", name=name)
        said: list[Mapping[str, Any]] = [
            {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in self.described.inputs
        ]
        self.inputs = inputs(said, row)
        self.plain = self.outputs(self.request())

    def call(self, name: str, /, **fields: Any) -> Any:
        """A call and its answer."""
        return self.send(name, self._messages.message(f"{name}Request")(**fields).SerializeToString())

    def send(self, name: str, body: bytes) -> Any:
        """The same with any bytes; `NotOk` with the status where it is not OK."""
        grpc = _library()
        asked = self._channel.unary_unary(
            f"/{self._messages.SERVICE}/{name}", request_serializer=None, response_deserializer=None
        )
        try:
            answered = asked(body, timeout=60, metadata=self._metadata or None)
        except grpc.RpcError as error:
            raise NotOk(error.code().name, error.details()) from None
        made = self._messages.message(f"{name}Response").FromString(answered)
        size = made.ByteSize()
        made.DiscardUnknownFields()
        assert made.ByteSize() == size, f"the answer has fields that {name}Response does not have"
        return made

    def request(self, rows: int = 1, given: list[Input] | None = None, *, raw: bool = False, **fields: Any) -> Any:
        """The row, so many times, in typed contents or as bytes; FP16 comes as bytes alone, and with it all others."""
        made = self._messages.message("ModelInferRequest")(model_name=self.name, **fields)
        given = self.inputs if given is None else given
        raw = raw or any(each.datatype == "FP16" for each in given)
        for each in given:
            tensor = made.inputs.add(name=each.name, datatype=each.datatype, shape=[rows, *each.inner])
            if raw:
                made.raw_input_contents.append(packed(each.datatype, each.values * rows))
            else:
                texts = each.datatype == BYTES
                values = [value.encode() if texts else value for value in each.values * rows]
                getattr(tensor.contents, FIELDS[each.datatype]).extend(values)
        return made

    def infer(self, request: Any) -> Any:
        """The answer to a request of inference."""
        return self.send("ModelInfer", request.SerializeToString())

    def outputs(self, request: Any, *, rows: int = 1) -> dict[str, list[Any]]:
        """Output -> its values, row by row."""
        return told(self.infer(request), rows)

    def same(self, request: Any, *, rows: int = 1) -> None:
        """Assert that a request is answered as the row is, so many times."""
        found = self.outputs(request, rows=rows)
        assert found.keys() == self.plain.keys()
        for name, values in found.items():
            assert alike(values, self.plain[name] * rows), f"{name}: {values} in place of {self.plain[name]}"

    def same_or_refused(self, request: Any, *, rows: int = 1, codes: tuple[str, ...] = ("INVALID_ARGUMENT",)) -> None:
        """The same, where it is not told to be wrong."""
        try:
            self.same(request, rows=rows)
        except NotOk as error:
            assert error.code in codes, error  # noqa: PT017 - it may also be answered


def told(answer: Any, rows: int | None = None) -> dict[str, list[Any]]:
    """Output -> its values: all in typed contents, or all as bytes; to so many rows, where that is known."""
    found = {}
    raw = answer.raw_output_contents
    assert not raw or len(raw) == len(answer.outputs), "some outputs come as bytes, and some do not"
    for place, tensor in enumerate(answer.outputs):
        answers_rows(tensor.name, tensor.shape, rows)
        count = math.prod(tensor.shape)
        if raw:
            assert not tensor.HasField("contents"), f"{tensor.name} comes in contents and as bytes"
            found[tensor.name] = unpacked(tensor.datatype, raw[place], count)
            continue
        filled = [field.name for field, _ in tensor.contents.ListFields()]
        assert filled == [FIELDS[tensor.datatype]] or not count, (
            f"{tensor.name} is {tensor.datatype} and comes in {filled}"
        )
        values = list(getattr(tensor.contents, FIELDS[tensor.datatype]))
        assert len(values) == count, f"{tensor.name} has {len(values)} values of the shape {list(tensor.shape)}"
        found[tensor.name] = [value.decode() for value in values] if tensor.datatype == BYTES else values
    assert len(found) == len(answer.outputs), "an output comes twice"
    return found


def _first(field: str, value: Any) -> Callable[[Remote], Any]:
    def make(remote: Remote) -> Any:
        made = remote.request(2)
        if field == "shape":
            del made.inputs[0].shape[:]
            made.inputs[0].shape.extend(value)
        else:
            setattr(made.inputs[0], field, value)
        return made

    return make


def _fields(**fields: Any) -> Callable[[Remote], Any]:
    return lambda remote: remote.request(2, **fields)


def _both(remote: Remote) -> Any:
    made = remote.request(2)
    made.raw_input_contents.extend(remote.request(2, raw=True).raw_input_contents)
    return made


def _raw(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Remote], Any]:
    def make(remote: Remote) -> Any:
        made = remote.request(2, raw=True)
        raws = change(list(made.raw_input_contents))
        del made.raw_input_contents[:]
        made.raw_input_contents.extend(raws)
        return made

    return make


def _elsewhere(remote: Remote) -> Any:
    """The first input's values in the field of another datatype."""
    made = remote.request(2)
    first = made.inputs[0]
    first.contents.Clear()
    if first.datatype == BYTES:
        first.contents.int64_contents.extend([1] * math.prod(first.shape))
    else:
        first.contents.bytes_contents.extend([b"1"] * math.prod(first.shape))
    return made


def _out_of_range(remote: Remote) -> Any:
    """More than an integer of two bytes holds, which int_contents and uint_contents do; of the model's own inputs where it has one."""
    small = ("UINT16", "INT16", "UINT8", "INT8")
    made, given = remote.request(1), remote.inputs
    place = next((n for n, each in enumerate(given) if each.datatype in small), -1)
    if place < 0:
        place = next((n for n, each in enumerate(given) if each.of("INT8").datatype == "INT8"), 0)
        made.inputs[place].datatype = "INT8"
    made.inputs[place].contents.Clear()
    getattr(made.inputs[place].contents, FIELDS[made.inputs[place].datatype]).extend(
        [70_000] * len(given[place].values)
    )
    return made


WRONG: dict[str, Callable[[Remote], Any]] = {
    "no inputs": lambda remote: remote.request(2, []),
    "a missing input": _first("name", "no such input"),
    "an input that comes twice": lambda remote: remote.request(2, [*remote.inputs, remote.inputs[0]]),
    "an unknown datatype": _first("datatype", "FP63"),
    "no datatype": _first("datatype", ""),
    "a shape of more values": _first("shape", [7]),
    "a shape that is negative": _first("shape", [-1]),
    "a shape that is beyond all numbers": _first("shape", [2**62]),
    "a shape without dimensions": _first("shape", []),
    "a shape of too many dimensions": _first("shape", [2, 1, 1, 1, 1, 1]),
    "an unknown output": _fields(outputs=[{"name": "no such output"}]),
    "contents and bytes at once": _both,
    "contents of another datatype": _elsewhere,
    "FP16 in typed contents": _first("datatype", "FP16"),
    "a value that the datatype does not have": _out_of_range,
    "bytes for some inputs alone": _raw(lambda raws: raws[:-1] or [b"", b""]),
    "bytes for more inputs than there are": _raw(lambda raws: [*raws, b""]),
    "a byte less": _raw(lambda raws: [raws[0][:-1], *raws[1:]]),
    "a byte more": _raw(lambda raws: [raws[0] + b"\0", *raws[1:]]),
}


class GrpcSuite:
    """What a server of the Open Inference Protocol, version 2, does by gRPC, whoever wrote it.

    As `ServingSuite`, with the address that gRPC has::

        from payoff.testing.serving import GrpcSuite

        class TestMine(GrpcSuite):
            metadata = (("authorization", "Bearer ..."),)

            @pytest.fixture
            def server(self):
                return "127.0.0.1:9000", "my-model", {"tenure": 10, "name": "Ann"}

    Where the server speaks TLS, give the fixture `channel`, too.
    """

    metadata: ClassVar[tuple[tuple[str, str], ...]] = ()
    datatypes: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def server(self) -> tuple[str, str, dict[str, Any]]:
        """Address, name of the model, a row: input -> value, or the list of its values where a row's part is not one value."""
        raise NotImplementedError

    @pytest.fixture
    def channel(self, server: tuple[str, str, dict[str, Any]]) -> Iterator[Any]:
        """The way there."""
        with _library().insecure_channel(server[0], options=[("grpc.max_receive_message_length", -1)]) as channel:
            yield channel

    @pytest.fixture
    def remote(self, channel: Any, server: tuple[str, str, dict[str, Any]]) -> Remote:
        """The model there."""
        return Remote(channel, server[1], server[2], self.metadata)

    def test_it_is_live_and_ready(self, remote: Remote) -> None:
        """The server, the model, each of its versions."""
        assert remote.call("ServerLive").live is True
        assert remote.call("ServerReady").ready is True
        for version in ("", *remote.described.versions):
            assert remote.call("ModelReady", name=remote.name, version=version).ready is True

    def test_it_says_what_it_and_the_model_are(self, remote: Remote) -> None:
        """Names, versions, and tensors of the protocol's datatypes."""
        assert remote.call("ServerMetadata").name
        assert remote.described.name == remote.name
        for version in remote.described.versions:
            assert remote.call("ModelMetadata", name=remote.name, version=version) == remote.described
        for each in (*remote.described.inputs, *remote.described.outputs):
            assert each.name
            assert each.datatype in DATATYPES
            assert all(size >= -1 for size in each.shape)

    @pytest.mark.parametrize("name", ["ModelReady", "ModelMetadata", "ModelInfer"])
    def test_another_model_and_another_version_are_not_found(self, remote: Remote, name: str) -> None:
        """NOT_FOUND; or not ready."""
        model, version = ("model_name", "model_version") if name == "ModelInfer" else ("name", "version")
        more = {"inputs": remote.request().inputs} if name == "ModelInfer" else {}
        for fields in ({model: NONE}, {model: remote.name, version: NONE}):
            try:
                answer = remote.call(name, **fields, **more)
            except NotOk as error:
                assert error.code == "NOT_FOUND", error  # noqa: PT017 - or it says that it is not ready
            else:
                assert name == "ModelReady", answer
                assert not answer.ready

    def test_it_answers_in_the_protocol_s_form(self, remote: Remote) -> None:
        """Names, datatypes, and the id; by version, too."""
        said = {each.name: each for each in remote.described.outputs}
        for version in ("", *remote.described.versions):
            answer = remote.infer(remote.request(id="forty-two Ä 数", model_version=version))
            assert answer.id == "forty-two Ä 数"
            assert answer.model_name == remote.name
            assert answer.model_version in ("", *remote.described.versions)
            for each in answer.outputs:
                assert each.name in said or not said, f"{each.name} is none of the outputs that the model names"
                assert not said or said[each.name].datatype == each.datatype, each.name
                assert not said or fits(said[each.name].shape, each.shape), (said[each.name], each.shape)

    def test_outputs_are_chosen_by_name(self, remote: Remote) -> None:
        """Each alone, and all."""
        for wanted in [[each] for each in remote.plain] + [list(remote.plain)[::-1]]:
            found = remote.outputs(remote.request(outputs=[{"name": each} for each in wanted]))
            assert sorted(found) == sorted(wanted)
            assert all(alike(found[each], remote.plain[each]) for each in wanted)

    def test_rows_that_are_unlike_stay_in_their_order(self, remote: Remote) -> None:
        """A batch of unlike rows is answered as its rows are one by one."""
        others = self._others(remote)
        if not others:
            pytest.skip("no change of a value changes the answer: give another row")
        kinds = [remote.inputs, *others, remote.inputs, others[0]]
        batch = [
            each._replace(values=[value for kind in kinds for value in kind[place].values])
            for place, each in enumerate(remote.inputs)
        ]
        for raw in (False, True):
            request = remote.request(1, batch, raw=raw)
            for tensor in request.inputs:
                tensor.shape[0] = len(kinds)
            found = remote.outputs(request, rows=len(kinds))
            alone = [remote.outputs(remote.request(1, each)) for each in kinds]
            for name, values in found.items():
                assert alike(values, [value for each in alone for value in each[name]]), name

    def test_bytes_say_the_same_as_typed_contents(self, remote: Remote) -> None:
        """And are answered with bytes or typed contents, all alike."""
        remote.same(remote.request(3), rows=3)
        remote.same(remote.request(3, raw=True), rows=3)

    @pytest.mark.parametrize("raw", [False, True])
    @pytest.mark.parametrize("datatype", DATATYPES)
    def test_a_datatype_is_taken(self, remote: Remote, datatype: str, *, raw: bool) -> None:
        """Where the model's own are sent as another that has the same values, the answer is the same, or it is INVALID_ARGUMENT."""
        given = [each.of(datatype) for each in remote.inputs]
        if not any(each.datatype == datatype for each in given):
            assert datatype not in self.datatypes, f"no value of the row is one of {datatype}"
            pytest.skip(f"no value of the row is one of {datatype}")
        request = remote.request(3, given, raw=raw)
        if datatype in self.datatypes or given == remote.inputs:
            remote.same(request, rows=3)
        else:
            remote.same_or_refused(request, rows=3)

    def test_many_rows_and_none_are_answered_or_refused(self, remote: Remote) -> None:
        """A message may be too large."""
        remote.same_or_refused(
            remote.request(20_000), rows=20_000, codes=("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE")
        )
        remote.same_or_refused(remote.request(0), rows=0)
        assert remote.call("ServerReady").ready is True

    def test_what_nobody_knows_changes_nothing(self, remote: Remote) -> None:
        """Parameters of the request and of a tensor; an input."""
        request = remote.request(2)
        request.parameters["no_such_parameter"].string_param = "x"
        request.inputs[0].parameters["another"].int64_param = 7
        remote.same_or_refused(request, rows=2)
        more = request.inputs.add(name="no such input", datatype="FP64", shape=[2])
        more.contents.fp64_contents.extend([0.5, 0.5])
        remote.same_or_refused(request, rows=2)

    def test_who_asks_at_the_same_time_gets_the_answer_to_their_own_rows(self, remote: Remote) -> None:
        """Clients with ids, rows and numbers of rows of their own."""
        kinds = [remote.inputs, *self._others(remote)]
        expected = [remote.outputs(remote.request(1, each)) for each in kinds]

        def client(number: int) -> None:
            for turn in range(6):
                kind, rows, name = (number + turn) % len(kinds), 1 + (number + turn) % 3, f"{number}-{turn}"
                answer = remote.infer(remote.request(rows, kinds[kind], id=name, raw=bool(turn % 2)))
                assert answer.id == name
                for each, values in told(answer).items():
                    assert alike(values, expected[kind][each] * rows), f"{name} got the answer to other rows"

        together(client, 12)

    @pytest.mark.parametrize("how", WRONG)
    def test_what_is_wrong_is_an_invalid_argument(self, remote: Remote, how: str) -> None:
        """Told so, and the next request is answered."""
        with pytest.raises(NotOk) as said:
            remote.infer(WRONG[how](remote))
        assert said.value.code == "INVALID_ARGUMENT", said.value
        remote.same(remote.request())

    def test_bytes_that_are_no_message_do_not_end_it(self, remote: Remote) -> None:
        """Whatever it says of them."""
        for body in (b"\xff" * 50, remote.request().SerializeToString()[:-3]):
            with pytest.raises(NotOk):
                remote.send("ModelInfer", body)
        remote.same(remote.request())

    def _others(self, remote: Remote) -> list[list[Input]]:
        """Rows that are answered otherwise than the row, found by changing a value of it."""
        found = []
        for place, each in enumerate(remote.inputs):
            for changed in changes(each):
                given = [*remote.inputs[:place], changed, *remote.inputs[place + 1 :]]
                try:
                    answer = remote.outputs(remote.request(1, given))
                except NotOk:
                    continue
                if not all(alike(answer[name], remote.plain[name]) for name in remote.plain):
                    found.append(given)
                    break
        return found
