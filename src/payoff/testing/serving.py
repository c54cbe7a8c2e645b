"""What every server of a model that speaks the Open Inference Protocol does: for ours, and for whoever serves a release by other means."""

from __future__ import annotations

import http.client
import json
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import jsonschema
import pytest

TEXTS = {"type": "array", "items": {"type": "string"}}
TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {
            "enum": [
                "BOOL",
                "UINT8",
                "UINT16",
                "UINT32",
                "UINT64",
                "INT8",
                "INT16",
                "INT32",
                "INT64",
                "FP16",
                "FP32",
                "FP64",
                "BYTES",
            ]
        },
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": {"type": "object"},
    },
}
# What https://github.com/kserve/open-inference-protocol (inference_rest.md) asks of answers.
SCHEMAS: dict[str, dict[str, Any]] = {
    "server": {
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "extensions": TEXTS},
    },
    "model": {
        "type": "object",
        "required": ["name", "platform", "inputs", "outputs"],
        "properties": {
            "name": {"type": "string"},
            "versions": TEXTS,
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": TENSOR},
            "outputs": {"type": "array", "items": TENSOR},
        },
    },
    "infer": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": TENSOR},
        },
    },
    "error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
}
_LENGTH = "inference-header-content-length"
_SAMPLES = {"BOOL": True, "BYTES": "", "FP16": 1.0, "FP32": 1.0, "FP64": 1.0}


class ServingSuite:
    """Inherit it, give the fixture `server` (address, name of the model, and a row that it takes: column -> value), and run it with pytest."""

    headers: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def server(self) -> tuple[str, str, dict[str, Any]]:
        """Where the server is, the model's name, and a row."""
        raise NotImplementedError

    def test_it_is_live_and_ready(self, server: tuple[str, str, dict[str, Any]]) -> None:
        """The three health addresses answer 200."""
        for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{quote(server[1])}/ready"):
            assert self.ask(server, path)[0] == 200, path

    def test_it_says_what_it_is(self, server: tuple[str, str, dict[str, Any]]) -> None:
        """Server metadata, with and without a slash at the end."""
        for path in ("/v2", "/v2/"):
            status, _, body = self.ask(server, path)
            assert status == 200
            jsonschema.validate(json.loads(body), SCHEMAS["server"])

    def test_it_says_what_the_model_takes(self, server: tuple[str, str, dict[str, Any]]) -> None:
        """Model metadata, by name and by version."""
        model = self.model(server)
        jsonschema.validate(model, SCHEMAS["model"])
        assert model["name"] == server[1]
        for version in model.get("versions", ()):
            path = f"/v2/models/{quote(server[1])}/versions/{quote(version)}"
            assert json.loads(self.ask(server, path)[2]) == model

    def test_it_answers_in_the_protocol_s_form(self, server: tuple[str, str, dict[str, Any]]) -> None:
        """One row, one value for each output; the id comes back; what is asked for is what comes."""
        status, _, body = self.ask(server, self.path(server), {**self.request(server, 1), "id": "forty-two"})
        answer = json.loads(body)
        assert status == 200, answer
        jsonschema.validate(answer, SCHEMAS["infer"])
        assert answer["id"] == "forty-two"
        assert answer["model_name"] == server[1]
        names = [each["name"] for each in answer["outputs"]]
        for each in answer["outputs"]:
            size = 1
            for dimension in each["shape"]:
                size *= dimension
            assert len(_flat(each["data"])) == size
        one = {**self.request(server, 1), "outputs": [{"name": names[-1]}]}
        assert [each["name"] for each in json.loads(self.ask(server, self.path(server), one)[2])["outputs"]] == names[
            -1:
        ]

    def test_rows_are_answered_in_their_order_and_alike(self, server: tuple[str, str, dict[str, Any]]) -> None:
        """Equal rows get equal answers, however many come at once."""
        many = self.outputs(server, self.request(server, 5))
        one = self.outputs(server, self.request(server, 1))
        for name, values in many.items():
            assert values == one[name] * 5

    def test_bytes_say_the_same_as_json(self, server: tuple[str, str, dict[str, Any]]) -> None:
        """The binary tensor data extension, where the server says that it has it."""
        from payoff.serving.protocols import tensors

        if "binary_tensor_data" not in json.loads(self.ask(server, "/v2")[2])["extensions"]:
            pytest.skip("the server does not have the extension binary_tensor_data")
        request = self.request(server, 3)
        plain = self.outputs(server, request)
        tail = b""
        for tensor in request["inputs"]:
            raw = tensors.to_bytes(tensor["datatype"], tensor.pop("data"))
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        head = json.dumps({**request, "parameters": {"binary_data_output": True}}).encode()
        status, headers, body = self.ask(server, self.path(server), head + tail, {_LENGTH: str(len(head))})
        assert status == 200, body
        at = int(headers[_LENGTH])
        for tensor in json.loads(body[:at])["outputs"]:
            size = tensor["parameters"]["binary_data_size"]
            assert tensors.from_bytes(tensor["datatype"], body[at : at + size], tensor["name"]) == plain[tensor["name"]]
            at += size
        assert at == len(body)

    @pytest.mark.parametrize(
        "wrong", ["no json", "no inputs", "too few values", "unknown datatype", "unknown output", "missing input"]
    )
    def test_what_is_wrong_is_a_client_s_error_in_json(
        self, server: tuple[str, str, dict[str, Any]], wrong: str
    ) -> None:
        """Status 4xx, `{"error": ...}`, and the server goes on."""
        request: Any = self.request(server, 1)
        match wrong:
            case "no json":
                request = b"{"
            case "no inputs":
                request["inputs"] = []
            case "too few values":
                request["inputs"][0]["shape"] = [7]
            case "unknown datatype":
                request["inputs"][0]["datatype"] = "FP63"
            case "unknown output":
                request["outputs"] = [{"name": "no such output"}]
            case _:
                request["inputs"] = request["inputs"][1:]
        status, _, body = self.ask(server, self.path(server), request)
        assert 400 <= status < 500
        jsonschema.validate(json.loads(body), SCHEMAS["error"])
        assert self.ask(server, "/v2/health/ready")[0] == 200

    def test_another_model_is_not_found(self, server: tuple[str, str, dict[str, Any]]) -> None:
        """Neither described nor asked."""
        for path, body in (
            ("/v2/models/no-such-model", None),
            ("/v2/models/no-such-model/infer", self.request(server, 1)),
        ):
            assert 400 <= self.ask(server, path, body)[0] < 500

    # -- how it is asked

    def ask(
        self,
        server: tuple[str, str, dict[str, Any]],
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        at = urlsplit(server[0])
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.headers, **(headers or {})}
        try:
            connection.request("GET" if body is None else "POST", path, data, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def path(self, server: tuple[str, str, dict[str, Any]]) -> str:
        """Where inference is asked for."""
        return f"/v2/models/{quote(server[1])}/infer"

    def model(self, server: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
        """Model metadata."""
        found: dict[str, Any] = json.loads(self.ask(server, f"/v2/models/{quote(server[1])}")[2])
        return found

    def request(self, server: tuple[str, str, dict[str, Any]], rows: int) -> dict[str, Any]:
        """The row, so many times, one tensor for each input."""
        inputs = [
            {
                "name": each["name"],
                "datatype": each["datatype"],
                "shape": [rows],
                "data": [server[2].get(each["name"], _SAMPLES.get(each["datatype"], 1))] * rows,
            }
            for each in self.model(server)["inputs"]
        ]
        return {"inputs": inputs}

    def outputs(self, server: tuple[str, str, dict[str, Any]], request: dict[str, Any]) -> dict[str, list[Any]]:
        """Output -> its values."""
        answer = json.loads(self.ask(server, self.path(server), request)[2])
        return {each["name"]: _flat(each["data"]) for each in answer["outputs"]}


def _flat(data: list[Any]) -> list[Any]:
    return [value for each in data for value in (_flat(each) if isinstance(each, list) else [each])]
