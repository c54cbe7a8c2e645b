"""Compiles modules for an image, whose file system cannot be written to: without, every start would compile again what it imports.

The same source gives the same bytes: checked by nothing but the name of the file (PEP 552, unchecked), and written in a form without
back-references, which hang on what else the process has in memory. Started by path with the interpreter of the environment; a JSON list of
[source, path in the image, file to write] comes on standard input.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import sys
import warnings

_UNCHECKED = (1).to_bytes(4, "little")
_PLAIN = 2  # marshal's last version without references to what was written before


def main():
    """Compile all; what does not compile is left out, as it would fail in its own time."""
    warnings.simplefilter("ignore")
    for source, path, target in json.load(sys.stdin):
        with open(source, "rb") as stream:
            text = stream.read()
        try:
            code = compile(text, sys.intern(path), "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        content = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(text)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as stream:
            stream.write(content + marshal.dumps(code, _PLAIN))


if __name__ == "__main__":
    main()
