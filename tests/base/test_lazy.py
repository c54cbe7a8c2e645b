"""Packages that are imported later, or that some modules do not find."""

from __future__ import annotations

import subprocess
import sys

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


def test_what_is_missing_is_found_while_another_thread_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that adds a module when it is looked at stands for the other thread, which may be let in at any look."""

    class Name(str):
        def startswith(self, *words: object) -> bool:
            sys.modules[f"payoff_test_{len(sys.modules)}"] = sys
            return False

    monkeypatch.setattr(sys, "modules", {Name("payoff_test"): sys, **sys.modules})
    assert lazy.missing(lazy) is None
