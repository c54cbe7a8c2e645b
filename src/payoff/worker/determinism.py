"""Seeds and switches, set when a library is first imported, so that a step that does not use it pays nothing.

What cannot be set (threads that add in the order in which they end, another kind of processor) is told in docs/determinism.md.
"""

from __future__ import annotations

import importlib.util
import os
import sys

# Environment variables that change what is computed; those of base/switches.py, which is out of reach here.
SWITCHES = (
    "ATEN_CPU_CAPABILITY",
    "BLIS_ARCH_TYPE",
    "BLIS_NUM_THREADS",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "GOTO_NUM_THREADS",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_ENABLE_X64",
    "KERAS_BACKEND",
    "KMP_DETERMINISTIC_REDUCTION",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NUMBA_CPU_FEATURES",
    "NUMBA_CPU_NAME",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_SCHEDULE",
    "OMP_THREAD_LIMIT",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TF_CUDNN_DETERMINISTIC",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_USE_LEGACY_KERAS",
    "TF_XLA_FLAGS",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "XLA_FLAGS",
)
# As they came, before a step's own number of threads is set.
BORN = {name: os.environ[name] for name in SWITCHES if os.environ.get(name)}

# Read by libraries when they are loaded, some of them once for the whole process. A user's own value of one stays.
VARIABLES = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS adds in one order (PyTorch refuses its own switch without it)
    "TF_DETERMINISTIC_OPS": "1",  # TensorFlow's kernels; not without a seed: it would refuse every random operation
    "MKL_CBWR": "AUTO",  # MKL: fixed cache sizes and static scheduling, whatever the alignment of the memory is
}
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)

_ours = {}  # variables that we set in this process -> what they were before, or None
_told = {}  # library -> what was set in it, for the record


def install(seed, *, deterministic, threads=None):
    """Set variables; seed and switch `random`, NumPy, PyTorch, TensorFlow, Keras and LightGBM when they are imported."""
    _variables(seed, deterministic, threads)
    after = {
        "random": lambda module: seed is not None and (module.seed(seed), _say("random", "seed")),
        "numpy": lambda module: seed is not None and (module.random.seed(seed % 2**32), _say("numpy", "seed")),
        "torch": lambda module: _torch(module, seed, deterministic),
        "tensorflow": lambda module: _tensorflow(module, seed, deterministic),
        "keras": lambda module: _keras(module, seed),
        "lightgbm.basic": lambda module: _lightgbm(module, deterministic),
    }
    _told.clear()
    for name in [name for name in after if name in sys.modules]:  # a process that was got ready before its task came
        after.pop(name)(sys.modules[name])
    sys.meta_path[:] = [_Hook(after), *(finder for finder in sys.meta_path if not isinstance(finder, _Hook))]


def told():
    """Library -> what was really set in this process; `environment` -> the variables that are ours."""
    found = {name: list(what) for name, what in _told.items()}
    if _ours:
        found["environment"] = sorted(f"{name}={os.environ.get(name, '')}" for name in _ours)
    return found


def _say(library, *what):
    _told.setdefault(library, []).extend(each for each in what if each not in _told.get(library, ()))


def _variables(seed, deterministic, threads):
    wanted = dict(VARIABLES) if deterministic else {}
    if seed is None:
        wanted.pop("TF_DETERMINISTIC_OPS", None)
    wanted.update({name: str(threads) for name in THREADS} if threads else {})
    for name in _ours.keys() - wanted.keys():  # set for the task that was expected, not for the one that came
        before = _ours.pop(name)
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
    for name, value in wanted.items():
        if name in THREADS or name in _ours or name not in os.environ:
            _ours.setdefault(name, os.environ.get(name))
            os.environ[name] = value


def _torch(module, seed, deterministic):
    if seed is not None:
        module.manual_seed(seed)
        _say("torch", "seed")
    if deterministic:
        # An operation that has no deterministic form warns, in the step's log, and goes on: refusing would forbid whole models.
        module.use_deterministic_algorithms(True, warn_only=True)
        cudnn = getattr(getattr(module, "backends", None), "cudnn", None)
        if cudnn is not None:
            cudnn.benchmark = False  # the fastest kernel of this minute is not the fastest of the next
        _say("torch", "deterministic algorithms, warn only")


def _tensorflow(module, seed, deterministic):
    if seed is not None:
        module.random.set_seed(seed)
        _say("tensorflow", "seed")
    if deterministic and seed is not None:
        module.config.experimental.enable_op_determinism()
        _say("tensorflow", "op determinism")


def _keras(module, seed):
    """Keras keeps a seed of its own; what it seeds besides (`random`, NumPy) goes on where it was."""
    if seed is None:
        return
    import random

    numpy = sys.modules.get("numpy")
    before = random.getstate(), numpy and numpy.random.get_state()
    module.utils.set_random_seed(seed)
    random.setstate(before[0])
    if numpy:
        numpy.random.set_state(before[1])
    _say("keras", "seed")


def _lightgbm(module, deterministic):
    """LightGBM has no switch for a process, only parameters: they are added where it hands parameters to its library.

    Without them it measures, at each training, which of two ways to add is the faster today.
    """
    write = getattr(module, "_param_dict_to_str", None)
    if write is None:  # another version: then nothing is set, and nothing is told to be set
        return
    write = getattr(write, "unchanged", write)
    if not deterministic:
        module._param_dict_to_str = write
        return

    def with_switches(data):
        given = dict(data or {})
        if "deterministic" not in given:
            given["deterministic"] = True
        if not any(name in given for name in ("force_row_wise", "force_col_wise")):
            given["force_row_wise"] = True
        return write(given)

    with_switches.unchanged = write
    module._param_dict_to_str = with_switches
    _say("lightgbm", "deterministic", "force_row_wise")


class _Hook:
    """A finder (not derived from `importlib.abc.MetaPathFinder`, whose import costs more than a whole task). Lets the usual finders find a module, and does something after it was executed."""

    def __init__(self, after):
        self.after = after
        self.asking = set()

    def find_spec(self, name, path=None, target=None):
        """The usual finders' answer. Many ask only whether a module is there: it waits until the module is executed."""
        action = self.after.get(name)
        if action is None or name in self.asking:
            return None
        self.asking.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.asking.discard(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            if self.after.pop(name, None):
                action(module)

        spec.loader.exec_module = exec_module
        return spec
