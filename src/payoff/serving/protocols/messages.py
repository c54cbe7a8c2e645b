"""The messages of `inference.GRPCInferenceService` (Open Inference Protocol, version 2), made from their fields' names, numbers and types.

https://github.com/kserve/open-inference-protocol (specification/protocol/inference_grpc.md). Nothing is generated: a test compares them with those that an
independent client was compiled with.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"
PACKAGE = "inference"
# Message -> its fields in the order of their numbers, which have no gaps: "name type", `*` for repeated, `%` for a map from text, `|` for a choice.
_TENSOR = ("name string", "datatype string", "shape* int64")
_MESSAGES: dict[str, tuple[str, ...]] = {
    "InferParameter": ("bool_param| bool", "int64_param| int64", "string_param| string", "double_param| double", "uint64_param| uint64"),
    "InferTensorContents": (
        "bool_contents* bool", "int_contents* int32", "int64_contents* int64", "uint_contents* uint32", "uint64_contents* uint64",
        "fp32_contents* float", "fp64_contents* double", "bytes_contents* bytes",
    ),
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("live bool",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("ready bool",),
    "ModelReadyRequest": ("name string", "version string"),
    "ModelReadyResponse": ("ready bool",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("name string", "version string", "extensions* string"),
    "ModelMetadataRequest": ("name string", "version string"),
    "ModelMetadataResponse": (
        "name string", "versions* string", "platform string", "inputs* .TensorMetadata", "outputs* .TensorMetadata",
    ),
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "ModelInferRequest": (
        "model_name string", "model_version string", "id string", "parameters% InferParameter", "inputs* .InferInputTensor",
        "outputs* .InferRequestedOutputTensor", "raw_input_contents* bytes",
    ),
    "ModelInferRequest.InferInputTensor": (*_TENSOR, "parameters% InferParameter", "contents InferTensorContents"),
    "ModelInferRequest.InferRequestedOutputTensor": ("name string", "parameters% InferParameter"),
    "ModelInferResponse": (
        "model_name string", "model_version string", "id string", "parameters% InferParameter", "outputs* .InferOutputTensor",
        "raw_output_contents* bytes",
    ),
    "ModelInferResponse.InferOutputTensor": (*_TENSOR, "parameters% InferParameter", "contents InferTensorContents"),
}  # fmt: skip
_CHOICE = "parameter_choice"
_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="payoff/open_inference_grpc.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for whole, fields in _MESSAGES.items():
        outer, _, name = whole.rpartition(".")
        message = made[outer].nested_type.add(name=name) if outer else file.message_type.add(name=name)
        made[whole] = message
        if any("| " in each for each in fields):
            message.oneof_decl.add(name=_CHOICE)
        for number, said in enumerate(fields, start=1):
            _add(message, f".{PACKAGE}.{whole}", number, said)
    return file


def _add(message: descriptor_pb2.DescriptorProto, full: str, number: int, said: str) -> None:
    name, kind = said.split(" ")
    sign, name = (name[-1], name[:-1]) if name[-1] in "*%|" else ("", name)
    repeated = sign in ("*", "%")
    field = message.field.add(
        name=name, number=number, label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    )
    if sign == "%":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add(entry, "", 1, "key string")
        _add(entry, "", 2, f"value {kind}")
        field.type, field.type_name = _Field.TYPE_MESSAGE, f"{full}.{entry.name}"
    elif kind.startswith(".") or kind in _MESSAGES:
        field.type, field.type_name = (
            _Field.TYPE_MESSAGE,
            f"{full}{kind}" if kind.startswith(".") else f".{PACKAGE}.{kind}",
        )
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    if sign == "|":
        field.oneof_index = 0


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())


def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
