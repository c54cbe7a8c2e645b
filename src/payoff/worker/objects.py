"""How an object becomes a pickle: the same object the same bytes, whichever library it is of.

PyTorch writes addresses of memory into a pickle, Keras them and the time, so that two runs that agree bit for bit would look different. Here a
tensor is its numbers, and a Keras model its `.keras` archive without the time. Whatever can open the library's own pickles can open
these: they name only NumPy's, PyTorch's and Keras' own functions.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import sys

from . import runtimes
from .tasks import Unfit, name_of

_WHEN = (1980, 1, 1, 0, 0, 0)  # the first moment that an archive can tell
_SHARED = re.compile(rb'("shared_object_id": )(\d+)')


def write(value, path):
    """Pickle a value; cloudpickle, where the environment has it, takes what pickle cannot."""
    try:
        data = dumps(value)
    except Exception as error:  # pickle raises many kinds
        try:
            import cloudpickle
        except ModuleNotFoundError:
            raise _unfit(value, error) from None
        try:
            data = cloudpickle.dumps(value, protocol=5)
        except Exception:
            raise _unfit(value, error) from None
    with open(path + ".part", "wb") as stream:
        stream.write(data)
    os.replace(path + ".part", path)
    return path


def dumps(value):
    """A value's pickle."""
    if not {"torch", "keras", "onnxruntime"} & sys.modules.keys():
        return pickle.dumps(value, protocol=5)
    stream = io.BytesIO()
    _Pickler(stream, protocol=5).dump(value)
    return stream.getvalue()


def is_torch(value):
    """Whether it is a module (a net) of PyTorch."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].nn.Module)


def is_keras(value):
    """Whether it is a model of Keras."""
    return "keras" in sys.modules and isinstance(value, sys.modules["keras"].Model)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value):
        """What stands for a tensor, a Keras model or an open ONNX model; anything else as usual."""
        torch = sys.modules.get("torch")
        if torch is not None and type(value) is torch.Tensor:
            return _tensor(torch, value)
        if is_keras(value):
            return _archive(value)
        if runtimes.is_session(value):
            return runtimes.reopened(value)
        return NotImplemented


def _tensor(torch, value):
    """`torch.from_numpy` of its numbers; what is more than numbers on this processor (a gradient's history, a part of a larger tensor) as usual."""
    whole = value.device.type == "cpu" and value.layout == torch.strided and value.is_contiguous()
    if not whole or value.requires_grad or value.untyped_storage().nbytes() != value.numel() * value.element_size():
        return NotImplemented
    try:
        numbers = value.numpy()
    except (TypeError, RuntimeError):  # a type that NumPy has not, such as bfloat16
        return NotImplemented
    return torch.from_numpy, (numbers,)


def _archive(model):
    """Keras' own pickle, the archive in it without the time at which it was made."""
    import zipfile

    load, (archive,) = model.__reduce__()
    whole = io.BytesIO()
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(whole, "w") as after:
        for entry in sorted(before.infolist(), key=lambda each: each.filename):
            content = before.read(entry)
            if entry.filename == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": ""}).encode()
            if entry.filename == "config.json":
                content = _renumbered(content)
            after.writestr(zipfile.ZipInfo(entry.filename, _WHEN), content)
    whole.seek(0)
    return load, (whole,)


def _renumbered(config):
    """Keras tells by an address which parts are one and the same; a number in the order of their appearance tells it as well."""
    numbers = {}
    return _SHARED.sub(lambda found: found[1] + b"%d" % numbers.setdefault(found[2], len(numbers) + 1), config)


def _unfit(value, error):
    return Unfit("type", f"it returned a {name_of(value)}, which cannot be pickled ({type(error).__name__})")
