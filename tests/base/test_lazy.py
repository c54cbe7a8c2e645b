"""Packages that some modules do not find."""

from __future__ import annotations

import subprocess
import sys
import threading
import types

import pytest

from payoff.base import lazy

ASKED = """
import importlib.util, sys
import pyarrow as pa
{before}
pa.array([1])
print("pandas" in sys.modules, importlib.util.find_spec("pandas") is not None)
import pandas
print(pa.table({{"a": [1, None]}}).to_pandas().shape, pa.Table.from_pandas(pandas.DataFrame({{"a": [1, 2]}})).num_rows)
"""


@pytest.mark.parametrize(("before", "imported"), [("", "True"), ("from payoff.base import lazy; lazy.keep_out('pandas', ('payoff', 'pyarrow')); lazy.keep_out('pandas', ())", "False")])
def test_pyarrow_finds_no_pandas_where_there_is_none_of_its_columns(before: str, imported: str) -> None:
    """Called from here it is `__main__` that asks, as far as Python can see; hence `__name__`."""
    code = f"__name__ = 'payoff.somewhere'\n{ASKED.format(before=before)}".replace("import pandas\n", "__name__ = '__main__'\nimport pandas\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"{imported} True", "(2, 1) 2"], done.stderr


def test_what_is_missing_is_found_while_another_thread_imports() -> None:
    """Modules come and go in a thread of their own: `sys.modules` grows under whoever looks through it."""
    module, ended, failed = types.ModuleType("payoff_tried"), threading.Event(), []

    def imports() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            sys.modules[f"payoff_tried_{number % 4000}"] = types.ModuleType("one")
            sys.modules.pop(f"payoff_tried_{(number * 7) % 4000}", None)

    other = threading.Thread(target=imports)
    before, interval = sys.modules.copy(), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    other.start()
    try:
        for _ in range(200):
            try:
                lazy.missing(module)
            except RuntimeError as error:
                failed.append(error)
    finally:
        ended.set()
        other.join()
        sys.setswitchinterval(interval)
        for name in sys.modules.keys() - before.keys():
            del sys.modules[name]
    assert failed == []
