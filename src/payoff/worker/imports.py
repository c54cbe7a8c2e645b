"""How the user's own modules are imported: always compiled from the file as it is.

A cached bytecode file counts as current when the source has the same size and the same second of change, so that a quick edit could
run the code of before; packages of the environment do not change and are cached as usual.
"""

from __future__ import annotations

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

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
    sys.path.insert(0, root)
