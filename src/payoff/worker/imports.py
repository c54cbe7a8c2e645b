"""How the user's own modules are imported: always compiled from the file as it is.

A cached bytecode file counts as current when the source has the same size and the same second of change, so that a quick edit could
run the code of before; packages of the environment do not change and are cached as usual.

Scoring imports the same packages as training did: a process can be got ready for it, while the training is under way, by what the last
one imported.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys


class Fresh(importlib.machinery.SourceFileLoader):
    """Reads no cached bytecode and writes none."""

    def path_stats(self, path):
        raise OSError("not cached")


def install(root):
    """Put the project's folder on the path, its modules imported fresh."""
    finder = importlib.machinery.FileFinder.path_hook(
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (Fresh, importlib.machinery.SOURCE_SUFFIXES),
    )
    inside = os.path.join(os.path.abspath(root), "")

    def hook(path):
        whole = os.path.join(os.path.abspath(path), "")
        if not whole.startswith(inside) or whole.startswith(os.path.join(sys.prefix, "")):
            raise ImportError("not the project's")
        return finder(path)

    if root in sys.path:  # a process that was got ready before its task came
        return
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
    sys.path.insert(0, root)


def known(step):
    """Where the names of the modules are kept that the last such task imported."""
    return os.path.join(sys.prefix, "imported", f"{step}.txt")


def remember(step):
    """Keep the names of the packages' modules that were imported, in their order."""
    site = os.path.join(sys.prefix, "")
    named = [name for name, module in list(sys.modules.items()) if _public(name) and _inside(module, site)]
    path = known(step)
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write("\n".join(named))
        os.replace(temporary, path)
    except OSError:
        return  # only the next such task's speed depends on it


def ahead(step):
    """Import what the last such task imported."""
    try:
        with open(known(step), encoding="utf-8") as stream:
            names = stream.read().split("\n")
    except OSError:
        return
    for name in names:
        if name and name not in sys.modules:
            try:
                importlib.import_module(name)
            except Exception:  # the task itself will say what is wrong
                continue


def _public(name):
    return name.count(".") <= 1 and not any(part.startswith("_") for part in name.split("."))


def _inside(module, site):
    return (getattr(module, "__file__", None) or "").startswith(site)
