# `make test` and `make demo` do all the set-up they need: python3 (3.11 or newer), git and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: test demo check bench
.make/dev: pyproject.toml $(wildcard requirements/*.txt)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[postgresql]' --group dev
	mkdir -p .make && touch $@

test: .make/dev
	$(BIN)/python -m pytest -n auto
