"""What was really loaded where a step ran: interpreter, packages, numerical libraries with their kernels and threads, processor, graphics driver.

In milliseconds, with nothing but the standard library: what is loaded is read from the process's own memory map and asked of the libraries themselves, as
threadpoolctl does, which is not there in every environment.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import suppress

from . import determinism

# Top-level modules whose distribution has another name.
ALIASES = {
    "sklearn": "scikit_learn",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "cv2": "opencv_python",
    "dateutil": "python_dateutil",
}
# Shared libraries that compute: file name -> what it is called.
KINDS = (
    ("openblas", r"openblas"),
    ("mkl", r"libmkl_rt|mkl_core"),
    ("blis", r"libblis"),
    ("blas", r"libblas|libcblas"),
    ("lapack", r"liblapack"),
    ("openmp", r"libgomp|libomp|libiomp|vcomp"),
    ("onednn", r"libdnnl|libonednn"),
    ("cuda", r"libcudart|libcublas|libcudnn|libnccl"),
)
# Processor features that libraries choose their code by.
FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "asimd",
    "sve",
    "sve2",
)
_PREFIXES, _SUFFIXES = ("", "scipy_"), ("", "64_", "_64")


def fingerprint(task):
    """The facts of this process, when its task is done."""
    facts = {
        "environment": determinism.BORN,
        "python": sys.version.split()[0],
        "implementation": sys.implementation.name,
        "compiler": sys.version.rpartition("[")[2].rstrip("]"),
        "hash_seed": os.environ.get("PYTHONHASHSEED", ""),
        "seed": task.get("seed"),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "deterministic": task.get("deterministic", True),
        "switches": determinism.told(),
    }
    found = {"packages": packages(), "libraries": libraries(), "cpu": processor(), "gpu": graphics()}
    return {**facts, **{name: value for name, value in found.items() if value}}


def packages():
    """Names and versions of the installed packages whose modules were imported, from the names of their metadata folders."""
    sites = [path for path in sys.path if path.endswith("site-packages")]
    tops = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." not in name and file and any(file.startswith(path) for path in sites):
            tops.add(ALIASES.get(name, name).lower().replace("-", "_"))
    found = {}
    for site in sites if tops else ():
        for entry in os.listdir(site):
            if entry.endswith(".dist-info"):
                name, _, version = entry[: -len(".dist-info")].rpartition("-")
                if name.lower().replace("-", "_").replace(".", "_") in tops:
                    found[name] = version
    return found


def libraries():
    """Per numerical library that is loaded: its file's name, and what it says of its version, kernel and threads."""
    paths = {}  # in order, each once
    with suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            path = line[73:].strip() if len(line) > 73 else ""
            if ".so" in path:
                paths[path] = True
    found = {}
    for path in paths:
        file = os.path.basename(path)
        kind = next((kind for kind, pattern in KINDS if re.search(pattern, file)), None)
        if kind is not None:
            # The name has a digest that wheels are built with: the same name is the same library.
            found[file] = {"kind": kind, **(said(path, kind) if kind in ("openblas", "openmp") else {})}
    return found


def said(path, kind):
    """What a library that is loaded answers about itself."""
    import ctypes  # in memory already where a library of this kind is

    with suppress(OSError, AttributeError, ValueError):
        library = ctypes.CDLL(path)
        if kind == "openmp":
            return {"threads": int(library.omp_get_max_threads())}
        facts = {}
        for name, asked, text in (
            ("config", "openblas_get_config", True),
            ("kernel", "openblas_get_corename", True),
            ("threads", "openblas_get_num_threads", False),
        ):
            call = _call(library, asked)
            if call is None:
                continue
            if text:
                call.restype = ctypes.c_char_p
                facts[name] = (call() or b"").decode(errors="replace").strip()
            else:
                facts[name] = int(call())
        return facts
    return {}


def _call(library, name):
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            call = getattr(library, f"{prefix}{name}{suffix}", None)
            if call is not None:
                return call
    return None


def processor():
    """The first processor's model and the features that libraries look for; `flags` is a digest of all of them."""
    known = {}
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
        for line in stream:  # no further than the first: the kernel writes them as they are read
            name, colon, value = line.partition(":")
            if not colon:
                break
            known[name.strip()] = value.strip()
    flags = sorted((known.get("flags") or known.get("Features") or "").split())
    model = known.get("model name") or known.get("CPU part") or os.uname().machine
    facts = {"model": model, "features": [each for each in FEATURES if each in flags]}
    return {**facts, "flags": hashlib.blake2b(" ".join(flags).encode(), digest_size=8).hexdigest()} if flags else facts


def graphics():
    """The driver of a graphics processor, where its module is loaded, and the models."""
    found = {}
    with suppress(OSError), open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as stream:
        match = re.search(r"Module\s+([0-9.]+)", stream.readline())
        found["driver"] = match[1] if match else "unknown"
        for name in sorted(os.listdir("/proc/driver/nvidia/gpus")):
            with open(f"/proc/driver/nvidia/gpus/{name}/information", encoding="utf-8", errors="replace") as told:
                model = next((line.partition(":")[2].strip() for line in told if line.startswith("Model:")), "")
                found.setdefault("models", []).append(model)
    return found
