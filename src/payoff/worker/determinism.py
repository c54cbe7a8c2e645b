"""Seeds and switches, set when a library is first imported, so that a step that does not use it pays nothing."""

from __future__ import annotations

import importlib.util
import os
import sys

# Environment variables that change what is computed; those of base/switches.py, which is out of reach here.
SWITCHES = (
    "BLIS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NUMEXPR_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_SCHEDULE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "XLA_FLAGS",
)
# As they came, before a step's own number of threads is set.
BORN = {name: os.environ[name] for name in SWITCHES if os.environ.get(name)}


def install(seed, *, deterministic):
    """Seed `random`, NumPy, PyTorch and TensorFlow when they are imported."""
    after = {
        "random": lambda module: seed is not None and module.seed(seed),
        "numpy": lambda module: seed is not None and module.random.seed(seed % 2**32),
        "torch": lambda module: _torch(module, seed, deterministic),
        "tensorflow": lambda module: _tensorflow(module, seed, deterministic),
    }
    for name in [name for name in after if name in sys.modules]:  # a process that was got ready before its task came
        after.pop(name)(sys.modules[name])
    sys.meta_path[:] = [_Hook(after), *(finder for finder in sys.meta_path if not isinstance(finder, _Hook))]


def _torch(module, seed, deterministic):
    if seed is not None:
        module.manual_seed(seed)
    if deterministic:
        module.use_deterministic_algorithms(True, warn_only=True)


def _tensorflow(module, seed, deterministic):
    if seed is not None:
        module.random.set_seed(seed)
    if deterministic:
        module.config.experimental.enable_op_determinism()


class _Hook:
    """A finder (not derived from `importlib.abc.MetaPathFinder`, whose import costs more than a whole task). Lets the usual finders find a module, and does something after it was executed."""

    def __init__(self, after):
        self.after = after

    def find_spec(self, name, path=None, target=None):
        action = self.after.pop(name, None)
        if action is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            action(module)

        spec.loader.exec_module = exec_module
        return spec
