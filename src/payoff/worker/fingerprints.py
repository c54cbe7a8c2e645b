"""What was really loaded where a step ran: interpreter, packages, numerical libraries with their kernels and threads, processor, graphics driver.

In milliseconds, with nothing but the standard library: the dynamic linker is asked what is loaded, and the libraries what they are, as threadpoolctl
does, which is not there in every environment.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress

from . import determinism

LARGEST = 4 << 20  # bytes of a package's list of files that are looked through
# Packages with names unlike those of their modules, whose lists of files are looked into first: a guess, not a claim.
LIKELY = {"scikit-learn", "pillow", "pyyaml", "opencv-python", "beautifulsoup4", "imbalanced-learn", "protobuf"}
# Shared libraries that compute: what one is called, and what the name of its file has in it (the first that fits counts).
KINDS = (
    ("openblas", ("openblas",)),
    ("mkl", ("libmkl_rt", "mkl_core")),
    ("blis", ("libblis",)),
    ("flexiblas", ("flexiblas",)),
    ("blas", ("libblas", "libcblas")),
    ("lapack", ("liblapack",)),
    ("openmp", ("libgomp", "libomp", "libiomp")),
    ("onednn", ("libdnnl", "libonednn")),
    ("cuda", ("libcudart", "libcublas", "libcudnn", "libcufft", "libcusolver", "libcusparse", "libnccl")),
    ("system", ("libstdc++", "libgfortran", "libquadmath")),  # their versions are in the names of their files
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
_LAYERS = ("sequential", "pthreads", "openmp")  # as openblas_get_parallel counts them


def fingerprint(task):
    """The facts of this process, when its task is done. Every part is there, empty where there is nothing: what is missing was not looked at."""
    version, _, rest = sys.version.partition(" (")
    return {
        "environment": determinism.BORN,
        "python": version.split()[0],
        "implementation": sys.implementation.name,
        "build": rest.partition(")")[0],
        "compiler": sys.version.rpartition("[")[2].rstrip("]"),
        "libc": libc(),
        "hash_seed": os.environ.get("PYTHONHASHSEED", ""),
        "seed": task.get("seed"),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "deterministic": task.get("deterministic", True),
        "switches": determinism.told(),
        "packages": packages(),
        "libraries": libraries(),
        "cpu": processor(),
        "gpu": graphics(),
    }


def libc():
    """The C library's name and version; empty where it does not say (musl)."""
    with suppress(AttributeError, OSError, ValueError):
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return ""


def packages():
    """Names (as locks write them) and versions of the installed packages whose modules were imported.

    Most packages are called as their module: the names of their metadata folders say all. Of the others the short `top_level.txt` is
    read, and of those that have none the list of files, until every module that was imported has its package.
    """
    sites = [path for path in dict.fromkeys(sys.path) if path.endswith(("site-packages", "dist-packages"))]
    wanted = imported(sites)
    lower = {top.lower(): top for top in wanted}
    found, others = {}, []
    for site in sites if wanted else ():
        for entry in os.listdir(site):
            if not entry.endswith(".dist-info"):
                continue
            name, _, version = entry[: -len(".dist-info")].rpartition("-")
            called = name.replace("_", "-").replace(".", "-").lower()
            if called in found:
                continue  # the first on the path is the one that is imported
            top = lower.get(called.replace("-", "_"))
            if top is None:
                others.append((called, version, os.path.join(site, entry)))
            else:
                found[called] = version
                wanted.discard(top)
    parts = {part.lower().strip("_") for top in wanted for part in top.split("/")}
    # Those whose names are alike come first: `python-dateutil` for `dateutil`.
    others.sort(
        key=lambda other: other[0] not in LIKELY and not any(part in other[0].replace("-", "_") for part in parts)
    )
    for tells in (_top_level, _record):
        for called, version, folder in others:
            if wanted and called not in found and (tops := tells(folder, wanted)):
                found[called] = version
                wanted -= tops
    return found


def imported(sites):
    """What modules came from in these folders: `numpy`; in a folder that packages share, the packages in it (`google/protobuf`).

    Taken from their files, as compiled modules may go by a short name of their own.
    """
    tops, shares = set(), {}
    places = tuple(site + os.sep for site in sites)
    for name, module in list(sys.modules.items()):
        top, dot, _ = name.partition(".")
        if dot:  # thousands, of a few packages: only those in a shared folder say more than their package
            if top not in shares:
                shares[top] = top in sys.modules and getattr(sys.modules[top], "__file__", None) is None
            if not shares[top]:
                continue
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(places):
            parts = file[len(next(place for place in places if file.startswith(place))) :].split(os.sep, 2)
            tops.add("/".join(part.partition(".")[0] for part in parts[: 2 if dot else 1]))
    return tops


def _top_level(folder, wanted):
    with suppress(OSError), open(os.path.join(folder, "top_level.txt"), encoding="utf-8", errors="replace") as stream:
        return wanted.intersection(stream.read(LARGEST).split())
    return set()


def _record(folder, wanted):
    if os.path.exists(os.path.join(folder, "top_level.txt")):  # all was said there
        wanted = {top for top in wanted if "/" in top}
    with suppress(OSError), open(os.path.join(folder, "RECORD"), "rb") as stream:
        files = b"\n" + stream.read(LARGEST)
        return {top for top in wanted if any(b"\n" + top.encode() + end in files for end in (b"/", b"."))}
    return set()


def loaded():
    """The paths of all shared objects of this process, asked of the dynamic linker: reading the memory map takes ten times as long."""
    import ctypes  # the server has it

    class Info(ctypes.Structure):
        _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))

    found = []

    def one(info, _size, _data):
        if info.contents.name:
            found.append(os.fsdecode(info.contents.name))
        return 0

    with suppress(AttributeError, OSError):
        call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
        ctypes.CDLL(None).dl_iterate_phdr(call(one), None)
    return found


def libraries():
    """Per numerical library that is loaded: its file's name, and what it says of its version, kernel and threads."""
    found = {}
    for path in loaded():
        name = os.path.basename(path)
        kind = next((kind for kind, parts in KINDS if any(part in name for part in parts)), None)
        if kind is not None:
            # Not the link that it was asked for by: the file's name has its version, or the digest that wheels are built with.
            file = os.path.basename(os.path.realpath(path))
            found[file] = {"kind": kind, **said(path, kind)}
    return found


def said(path, kind):
    """What a library that is loaded answers about itself."""
    if kind not in ASK:
        return {}
    import ctypes  # in memory already where a library of this kind is

    with suppress(OSError, AttributeError, ValueError):
        library = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_NOLOAD)  # never loads what is not there
        facts = ASK[kind](library, ctypes)
        return {name: value for name, value in facts.items() if value not in (None, "")}
    return {}


def _openblas(library, ctypes):
    layer = _number(_call(library, "openblas_get_parallel"))
    return {
        "config": _text(_call(library, "openblas_get_config"), ctypes),
        "kernel": _text(_call(library, "openblas_get_corename"), ctypes),
        "threads": _number(_call(library, "openblas_get_num_threads")),
        "layer": _LAYERS[layer] if layer in (0, 1, 2) else None,
    }


def _mkl(library, ctypes):
    version = ctypes.create_string_buffer(200)
    call = getattr(library, "MKL_Get_Version_String", None)
    if call is not None:
        call(version, 200)
    threads = _number(getattr(library, "MKL_Get_Max_Threads", None))
    return {"config": version.value.decode(errors="replace").strip(), "threads": threads}


def _blis(library, ctypes):
    kernel, name = getattr(library, "bli_arch_query_id", None), getattr(library, "bli_arch_string", None)
    return {
        "config": _text(getattr(library, "bli_info_get_version_str", None), ctypes),
        "kernel": _text(name, ctypes, kernel()) if kernel and name else None,
        "threads": _number(getattr(library, "bli_thread_get_num_threads", None)),
    }


def _openmp(library, ctypes):
    return {"threads": _number(library.omp_get_max_threads)}


def _cuda(library, ctypes):
    if hasattr(library, "cudnnGetVersion"):
        library.cudnnGetVersion.restype = ctypes.c_size_t
        return {"version": str(library.cudnnGetVersion())}
    number = ctypes.c_int()
    if hasattr(library, "cudaRuntimeGetVersion") and library.cudaRuntimeGetVersion(ctypes.byref(number)) == 0:
        return {"version": str(number.value)}
    return {}


ASK = {"openblas": _openblas, "mkl": _mkl, "blis": _blis, "openmp": _openmp, "cuda": _cuda}


def _call(library, name):
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            call = getattr(library, f"{prefix}{name}{suffix}", None)
            if call is not None:
                return call
    return None


def _text(call, ctypes, *given):
    if call is None:
        return None
    call.restype = ctypes.c_char_p
    return (call(*given) or b"").decode(errors="replace").strip()


def _number(call):
    return None if call is None else int(call())


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


def graphics(folder="/proc/driver/nvidia"):
    """The driver of a graphics processor, where its module is loaded, and the models."""
    found = {}
    with suppress(OSError), open(f"{folder}/version", encoding="utf-8", errors="replace") as stream:
        words = stream.readline().split()
        found["driver"] = next((word for word in words if word[:1].isdigit()), "unknown")
        for name in sorted(os.listdir(f"{folder}/gpus")):
            with open(f"{folder}/gpus/{name}/information", encoding="utf-8", errors="replace") as told:
                model = next((line.partition(":")[2].strip() for line in told if line.startswith("Model:")), "")
                found.setdefault("models", []).append(model)
    return found
