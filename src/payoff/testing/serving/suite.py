"""What a server does by HTTP."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import jsonschema
import pytest

from payoff.testing.serving import schemas
from payoff.testing.serving.asked import LENGTH, Input, Model, nestings, refused, told, with_bytes
from payoff.testing.serving.values import BYTES, DATATYPES, alike, beyond, packed
from payoff.testing.serving.wrong import WRONG, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NONE = "no-such-model"


class Asking:
    """Where the server is."""

    headers: ClassVar[Mapping[str, str]] = {}
    datatypes: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def server(self) -> tuple[str, str, dict[str, Any]]:
        """Address, name of the model, a row: input -> value, or the list of its values where a row's part is not one value."""
        raise NotImplementedError

    @pytest.fixture
    def model(self, server: tuple[str, str, dict[str, Any]]) -> Model:
        """The model there."""
        return Model(*server, self.headers)

    @pytest.fixture
    def binary(self, model: Model) -> Model:
        """The model, of a server that takes tensors as bytes."""
        if not model.binary:
            pytest.skip("the server does not have the extension binary_tensor_data")
        return model


class Describing(Asking):
    """Health, metadata, and what is not there."""

    def test_it_is_live_and_ready(self, model: Model) -> None:
        """The health addresses answer 200, with the model's version and without."""
        versions = (
            f"{model.path}/versions/{quote(each, safe='')}/ready" for each in model.metadata.get("versions", ())
        )
        for path in ("/v2/health/live", "/v2/health/ready", f"{model.path}/ready", *versions):
            assert model.ask(path).status == 200, path

    def test_it_says_what_it_is(self, model: Model) -> None:
        """Server metadata; a slash at the end may mean something else."""
        for path in ("/v2", "/v2/"):
            reply = model.ask(path)
            assert reply.status == 200 or (path == "/v2/" and 300 <= reply.status < 500), path
            if reply.status == 200:
                jsonschema.validate(reply.json, schemas.SERVER)
                assert reply.headers["content-type"].startswith("application/json")

    def test_it_says_what_the_model_takes(self, model: Model) -> None:
        """Model metadata, by name and by version."""
        jsonschema.validate(model.metadata, schemas.MODEL)
        assert model.metadata["name"] == model.name
        for version in model.metadata.get("versions", ()):
            assert model.ask(f"{model.path}/versions/{quote(version, safe='')}").json == model.metadata

    @pytest.mark.parametrize("what", ["", "/ready", "/infer"])
    def test_another_model_and_another_version_are_not_there(self, model: Model, what: str) -> None:
        """Neither described, nor ready, nor asked."""
        for path in (f"/v2/models/{NONE}", f"{model.path}/versions/{NONE}", f"/v2/models/{NONE}/versions/1"):
            reply = model.ask(f"{path}{what}", model.request() if what == "/infer" else None)
            assert 400 <= reply.status < 500, (path, reply)
            if reply.body or what != "/ready":  # whether it is ready is told by the status alone
                refused(reply)

    def test_what_is_asked_by_another_method_is_refused(self, model: Model) -> None:
        """Also as one that the server does not know at all (501); and it goes on."""
        for method, path in (("GET", model.infers), ("DELETE", model.path), ("PUT", model.infers), ("POST", "/v2")):
            reply = model.ask(path, b"{}" if method != "GET" else None, method=method)
            assert 400 <= reply.status < 500 or reply.status == 501, (method, path, reply)
        assert model.ask("/v2/health/ready").status == 200


class Answering(Asking):
    """Inference: forms, names, numbers of rows."""

    def test_it_answers_in_the_protocol_s_form(self, model: Model) -> None:
        """Names, datatypes, shapes; so many values as the shape says; the id comes back."""
        reply = model.infer(model.request(id="forty-two Ä 数"))
        assert reply.status == 200, reply
        jsonschema.validate(reply.json, schemas.INFER)
        assert reply.json["id"] == "forty-two Ä 数"
        assert reply.json["model_name"] == model.name
        assert reply.json.get("model_version", "") in ("", *model.metadata.get("versions", ()))
        described = model.metadata["outputs"]
        for each in reply.json["outputs"]:
            said = next((one for one in described if one["name"] == each["name"]), None)
            assert said is not None or not described, f"{each['name']} is none of the outputs that the model names"
            assert said is None or said["datatype"] == each["datatype"], each
            assert said is None or fits(said["shape"], each["shape"]), (said, each)
        assert reply.headers["content-type"].startswith("application/json")
        assert LENGTH not in reply.headers

    def test_it_is_asked_by_version_too(self, model: Model) -> None:
        """The same answer."""
        for version in model.metadata.get("versions", ()):
            reply = model.ask(f"{model.path}/versions/{quote(version, safe='')}/infer", model.request())
            assert reply.status == 200, reply
            assert all(alike(values, model.plain[name]) for name, values in told(reply).items())

    def test_an_id_is_nobody_s_but_the_request_s(self, model: Model) -> None:
        """Who sends none is told none that another sent."""
        assert model.infer(model.request(id="mine")).json["id"] == "mine"
        assert model.infer(model.request()).json.get("id", "") != "mine"

    def test_outputs_are_chosen_by_name(self, model: Model) -> None:
        """Each alone, all in the opposite order; nothing else comes."""
        names = list(model.plain)
        for wanted in [[each] for each in names] + [names[::-1]]:
            found = model.outputs(model.request(outputs=[{"name": each} for each in wanted]))
            assert sorted(found) == sorted(wanted)
            assert all(alike(found[each], model.plain[each]) for each in wanted)

    def test_rows_are_answered_in_their_order_and_alike(self, model: Model) -> None:
        """Equal rows get equal answers, however many come at once."""
        model.same(model.request(5), rows=5)

    def test_nested_data_says_the_same_as_flat(self, model: Model) -> None:
        """Row-major, as the shape says; [rows, 1] may be refused by who wants [rows]."""
        for place in range(2):
            request = model.request(3)
            request["inputs"] = [nestings(each, 3)[min(place, 0 if each.inner else 1)] for each in model.inputs]
            if place == 0:
                model.same(request, rows=3)
            else:
                model.same_or_refused(request, rows=3)

    def test_rows_that_are_unlike_stay_in_their_order(self, model: Model) -> None:
        """A batch of unlike rows is answered as its rows are one by one."""
        others = model.others()
        if not others:
            pytest.skip("no change of a value changes the answer: give another row")
        requests = [
            model.request(),
            *others,
            model.request(),
            others[0],
        ]  # otherwise from the end than from the beginning
        batch = model.request(len(requests))
        for place, tensor in enumerate(batch["inputs"]):
            tensor["data"] = [value for each in requests for value in each["inputs"][place]["data"]]
        found = model.outputs(batch, rows=len(requests))
        alone = [model.outputs(each) for each in requests]
        for name, values in found.items():
            assert alike(values, [value for each in alone for value in each[name]]), name

    def test_many_rows_are_answered_or_refused(self, model: Model) -> None:
        """All of them, or with a status that says that they are too many."""
        model.same_or_refused(model.request(20_000), rows=20_000)
        assert model.ask("/v2/health/ready").status == 200

    def test_no_rows_are_answered_by_none_or_refused(self, model: Model) -> None:
        """A shape with a zero."""
        model.same_or_refused(model.request(0), rows=0)

    def test_an_input_that_nobody_knows_is_left_out_or_refused(self, model: Model) -> None:
        """It changes no answer."""
        more = {"name": "no such input", "datatype": "FP64", "shape": [1], "data": [0.5]}
        model.same_or_refused({"inputs": [*model.request()["inputs"], more]})
        model.same_or_refused({"inputs": [more, *model.request()["inputs"]]})

    def test_parameters_that_nobody_knows_change_nothing(self, model: Model) -> None:
        """Of the request, of inputs and of outputs: texts, numbers, truth values."""
        parameters = {"no_such_parameter": "x", "another": 7, "third": False}
        request = model.request(
            parameters=parameters, outputs=[{"name": each, "parameters": parameters} for each in model.plain]
        )
        for each in request["inputs"]:
            each["parameters"] = parameters
        model.same_or_refused(request)

    def test_who_asks_at_the_same_time_gets_the_answer_to_their_own_rows(self, model: Model) -> None:
        """Sixteen clients with rows, numbers of rows and ids of their own."""
        kinds = [model.request(), *model.others()]
        expected = [model.outputs(each) for each in kinds]
        faults: list[str] = []

        def client(number: int) -> None:
            for turn in range(6):
                kind, rows, name = (number + turn) % len(kinds), 1 + (number + turn) % 3, f"{number}-{turn}"
                inputs = [
                    {**each, "shape": [rows, *each["shape"][1:]], "data": each["data"] * rows}
                    for each in kinds[kind]["inputs"]
                ]
                reply = model.infer({"id": name, "inputs": inputs})
                if reply.status != 200 or reply.json.get("id") != name:
                    faults.append(f"{name}: {reply}")
                elif not all(alike(values, expected[kind][each] * rows) for each, values in told(reply).items()):
                    faults.append(f"{name} got the answer to other rows: {reply}")

        together(client, 16)
        assert not faults, faults[:3]


class Typed(Asking):
    """Datatypes, in JSON and as bytes."""

    @pytest.mark.parametrize("datatype", DATATYPES)
    def test_a_datatype_is_taken_in_json(self, model: Model, datatype: str) -> None:
        """Where the model's own are sent as another that has the same values, the answer is the same."""
        given = self._as(model, datatype)
        self._answered(model, datatype, {"inputs": [each.tensor(3) for each in given]}, None)

    @pytest.mark.parametrize("datatype", DATATYPES)
    def test_a_datatype_is_taken_as_bytes(self, binary: Model, datatype: str) -> None:
        """In the native size, little-endian, one tensor behind the other."""
        body, headers = with_bytes([(each, True) for each in self._as(binary, datatype)], 3)
        self._answered(binary, datatype, body, headers)

    @pytest.mark.parametrize("datatype", DATATYPES)
    def test_a_value_that_the_datatype_does_not_have_is_refused(self, model: Model, datatype: str) -> None:
        """Out of its range, or of another kind."""
        place, given = next(
            ((n, each) for n, each in enumerate(model.inputs) if each.of(datatype).datatype == datatype),
            (0, model.inputs[0]),
        )
        for value in beyond(datatype):
            request = model.request()
            request["inputs"][place] |= {"datatype": datatype, "data": [value] * len(given.values)}
            refused(model.infer(request))

    def test_some_inputs_as_bytes_and_some_in_json(self, binary: Model) -> None:
        """In their order; who sends one alone as bytes sends the header, too."""
        for turn in (0, 1):
            given = [(each, place % 2 == turn) for place, each in enumerate(binary.inputs)]
            body, headers = with_bytes(given, 3)
            binary.same(body, headers, rows=3)

    def test_answers_come_as_bytes_to_who_wants_them(self, binary: Model) -> None:
        """All, one alone, all but one: what is said of an output goes before what is said of all."""
        names = list(binary.plain)
        every = {"binary_data_output": True}
        for parameters, outputs, expected in (
            (every, None, names),
            ({}, {names[0]: True}, names[:1]),
            (every, {names[0]: False}, names[1:]),
            ({"binary_data_output": False}, None, []),
        ):
            more: dict[str, Any] = {"parameters": parameters}
            if outputs is not None:
                more["outputs"] = [
                    {"name": each, **({"parameters": {"binary_data": outputs[each]}} if each in outputs else {})}
                    for each in names
                ]
            reply = binary.infer(binary.request(3, **more))
            assert reply.status == 200, reply
            assert (LENGTH in reply.headers) == bool(expected), reply.headers
            head = json.loads(reply.body[: int(reply.headers.get(LENGTH, len(reply.body)))])
            jsonschema.validate(head, schemas.INFER)
            assert [
                each["name"] for each in head["outputs"] if "binary_data_size" in each.get("parameters", {})
            ] == expected
            assert all(alike(values, binary.plain[name] * 3) for name, values in told(reply).items())

    def test_bytes_both_ways(self, binary: Model) -> None:
        """As clients do that have arrays."""
        body, headers = with_bytes([(each, True) for each in binary.inputs], 4, parameters={"binary_data_output": True})
        binary.same(body, headers, rows=4)

    @pytest.mark.parametrize(
        "how", ["a byte less", "a byte more", "more than came", "a negative size", "a size of text", "bytes left over"]
    )
    def test_bytes_that_do_not_fit_are_refused(self, binary: Model, how: str) -> None:
        """Sizes that are not those of the shape and the datatype."""
        first, *rest = binary.inputs
        raw = packed(first.datatype, first.values * 2)
        size: Any = len(raw)
        match how:
            case "a byte less":
                raw, size = raw[:-1], size - 1
            case "a byte more":
                raw, size = raw + b"\0", size + 1
            case "more than came":
                size += 1
            case "a negative size":
                size = -size
            case "a size of text":
                size = str(size)
            case _:
                raw += b"\0\0\0\0"
        tensors = [{**first.empty(2), "parameters": {"binary_data_size": size}}, *(each.tensor(2) for each in rest)]
        head = json.dumps({"inputs": tensors}).encode()
        refused(binary.infer(head + raw, {LENGTH: str(len(head))}))

    @pytest.mark.parametrize("length", ["-1", "x", "1", "999999999", ""])
    def test_a_length_of_the_json_that_is_not_so_is_refused(self, binary: Model, length: str) -> None:
        """No number, or not where the JSON ends."""
        body, _ = with_bytes([(each, True) for each in binary.inputs], 1)
        refused(binary.infer(body, {LENGTH: length}))

    def test_a_text_that_is_cut_off_is_refused(self, binary: Model) -> None:
        """Its length says more than there is."""
        texts = [each for each in binary.inputs if each.datatype == BYTES] or [
            binary.inputs[0]._replace(datatype=BYTES)
        ]
        tensors = [each.tensor(1) for each in binary.inputs if each.name != texts[0].name]
        for raw in (b"\xff\xff\xff\xffabc", b"\1\0\0", b"\1\0\0\0"):
            head = json.dumps(
                {"inputs": [{**texts[0].empty(1), "parameters": {"binary_data_size": len(raw)}}, *tensors]}
            )
            refused(binary.infer(head.encode() + raw, {LENGTH: str(len(head))}))

    def _as(self, model: Model, datatype: str) -> list[Input]:
        given = [each.of(datatype) for each in model.inputs]
        if not any(each.datatype == datatype for each in given):
            assert datatype not in self.datatypes, f"no value of the row is one of {datatype}"
            pytest.skip(f"no value of the row is one of {datatype}")
        return given

    def _answered(self, model: Model, datatype: str, body: Any, headers: Mapping[str, str] | None) -> None:
        """A datatype that the model has, or of which is said that it is taken, has to be; each other one may be refused."""
        own = {each.datatype for each in model.inputs}
        if datatype in self.datatypes or (datatype in own and self._as(model, datatype) == model.inputs):
            model.same(body, headers, rows=3)
        else:
            model.same_or_refused(body, headers, rows=3)


class Refusing(Asking):
    """What is wrong is a client's error: a status of 4xx, `{"error": ...}`, and the server goes on."""

    @pytest.mark.parametrize("how", WRONG)
    def test_what_is_wrong_is_refused(self, model: Model, how: str) -> None:
        """Told so, and the next request is answered."""
        refused(model.infer(wrong(how, model.request())))
        model.same(model.request())

    def test_who_is_refused_may_ask_again_on_the_same_connection(self, model: Model) -> None:
        """What was sent with it is read, or the connection ends: else it would be taken for the next request."""
        bad = wrong("a shape of more values", model.request())
        elsewhere = f"/v2/models/{NONE}/infer"
        for path, body in ((model.infers, bad), (elsewhere, model.request()), (model.path, model.request())):
            first, again = model.ask_each([(path, body), (model.infers, model.request())])
            assert first.status != 200, first
            assert again.status == 200, again
            assert all(alike(values, model.plain[name]) for name, values in told(again, 1).items())


class ServingSuite(Describing, Answering, Typed, Refusing):
    """What a server of the Open Inference Protocol, version 2, does by HTTP, whoever wrote it.

    Inherit it in a file of tests, say where the server is, and run pytest; the server is started by you, and stays up meanwhile::

        import pytest
        from payoff.testing.serving import ServingSuite

        class TestMine(ServingSuite):
            headers = {"Authorization": "Bearer ..."}   # where it asks for something
            datatypes = ("FP32", "FP64")                # taken in place of the model's own, where they hold the same values

            @pytest.fixture
            def server(self):
                return "http://127.0.0.1:8080", "my-model", {"tenure": 10, "name": "Ann", "pixels": [0.5, 1.0]}

    The row has a value for each input that the model's metadata names, or the list of its values, row-major, where a row's part is not one value. Values that small
    floating-point datatypes hold exactly (10, 0.5) let more be tried. What the protocol leaves open may be done or refused with 4xx: an input that nobody knows, no
    rows, very many rows, other datatypes than the model's. The extension of binary tensors is tried where the server says that it has it. For gRPC there is `GrpcSuite`.
    """


def fits(said: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a shape is one of those that metadata names, where it names one."""
    return not said or (
        len(said) == len(shape) and all(one in (-1, other) for one, other in zip(said, shape, strict=True))
    )


def together(what: Callable[[int], None], number: int) -> None:
    """So many threads at once; what one raises is raised."""
    raised: list[BaseException] = []

    def run(place: int) -> None:
        try:
            what(place)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
