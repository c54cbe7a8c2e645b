"""A project's tables as variables: in a Python that somebody types into, in a script, in IPython and Jupyter. A table is read when its name is first used."""

from __future__ import annotations

import code
import importlib.util
import json
import os
import re
import sys

from . import imports, tasks

TITLE = "payoff_tables"  # the module that has the tables


class Tables:
    """Reads tables as the first form that the environment has: pandas, polars or pyarrow."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "tables.json"), encoding="utf-8") as stream:
            self.known = json.load(stream)
        self.read = {}

    def names(self):
        """The tables' names."""
        return list(self.known)

    def get(self, name):
        """A table, read once."""
        if name not in self.read:
            self.read[name] = shaped(os.path.join(self.folder, name + ".arrow"))
        return self.read[name]

    def fill(self, text, space):
        """Make the tables whose names a text has into variables, where there are none of these names."""
        for name in self.known:
            if name not in space and re.search(rf"\b{re.escape(name)}\b", text):
                try:
                    space[name] = self.get(name)
                except ModuleNotFoundError as error:
                    sys.stderr.write(f"{name}: {error}\n")


def shaped(path):
    """A file in the form that the environment has a library for."""
    there = {name for name in ("pandas", "polars", "pyarrow") if importlib.util.find_spec(name)}
    if "pyarrow" in there:
        import pyarrow as pa

        with pa.memory_map(path) as source:
            table = pa.ipc.open_file(source).read_all()
        return table.to_pandas() if "pandas" in there else table
    if "polars" in there:
        import polars

        return polars.read_ipc(path)
    raise ModuleNotFoundError("the environment has neither pyarrow (and pandas) nor polars to read tables with")


class Console(code.InteractiveConsole):
    """Python's own prompt."""

    def __init__(self, tables, space):
        super().__init__(space)
        self.tables = tables

    def runcode(self, compiled):
        """Read the tables that are named first."""
        self.tables.fill("\n".join(self.buffer), self.locals)
        super().runcode(compiled)


def main(folder, root):
    """Type into it, or hand a program to its standard input; answers the exit code."""
    sys.modules[TITLE] = module(folder)
    imports.install(root)
    tasks.load_payoff()
    tables = Tables(folder)
    space = {"__name__": "__main__", "__doc__": None}
    if not sys.stdin.isatty():
        source = sys.stdin.read()
        tables.fill(source, space)
        exec(compile(source, "<stdin>", "exec"), space)
        return 0
    try:
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(space).complete)
        readline.parse_and_bind("tab: complete")
    except ImportError:
        pass
    said = [f"  {name}  {about}" for name, about in tables.known.items()]
    banner = "\n".join([f"Python {sys.version.split()[0]}; tables:", *said])
    Console(tables, space).interact(banner, exitmsg="")
    return 0


def module(folder):
    """The module `payoff_tables`: `from payoff_tables import customers`."""
    tables = Tables(folder)
    made = importlib.util.module_from_spec(importlib.util.spec_from_loader(TITLE, loader=None))

    def get(name):
        if name in tables.known:
            return tables.get(name)
        raise AttributeError(f"the project has no table {name!r} here; it has {', '.join(tables.known)}")

    made.__getattr__ = get
    made.__dir__ = tables.names
    made.__all__ = tables.names()
    return made


def ipython(folder, root):
    """In IPython and Jupyter: the tables that a cell names are read before it runs."""
    from IPython import get_ipython

    imports.install(root)
    tasks.load_payoff()
    shell, tables = get_ipython(), Tables(folder)
    shell.events.register("pre_run_cell", lambda info: tables.fill(info.raw_cell or "", shell.user_ns))
