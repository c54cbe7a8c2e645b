"""Environment variables that change what numerical libraries compute, or in which order: a step's result depends on those that are set."""

from __future__ import annotations

TYPE_CHECKING = (
    False  # the short way of an unchanged project imports this file, and `typing` would take longer than all of it
)
if TYPE_CHECKING:
    from collections.abc import Mapping

# Of OpenMP, OpenBLAS, MKL, BLIS, NumPy, Numba, Polars, oneDNN, PyTorch, TensorFlow, Keras, JAX, XLA, CUDA and glibc (whose mathematics choose
# their code by the processor), as their manuals name them. The worker has the same list.
NAMES = (
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


def said(environ: Mapping[str, str]) -> dict[str, str]:
    """Those that are set, with their values.

    >>> said({"OMP_NUM_THREADS": "2", "HOME": "/root", "MKL_CBWR": ""})
    {'OMP_NUM_THREADS': '2'}
    """
    return {name: environ[name] for name in NAMES if environ.get(name)}
