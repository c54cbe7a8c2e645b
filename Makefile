# `make test` and `make demo` do all the set-up they need: python3 (3.11 or newer), git and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two processors at least, and not so many that the tests' own servers starve.
JOBS ?= $(shell n=$$(nproc); [ $$n -gt 4 ] && echo 4 || echo $$n)

.PHONY: test check demo bench format pins

test: .make/dev .make/servers check
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: .make/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check src benchmarks docs/generate.py
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: .make/run
	@test -d demo || $(BIN)/payoff init demo --template bank
	@$(BIN)/payoff run --project demo

bench: .make/dev
	$(BIN)/python benchmarks/run.py

format: .make/dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format src benchmarks docs/generate.py

# The exact versions that are tested; run after a change of the dependencies in pyproject.toml.
pins: .make/dev
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --extra postgresql --extra kafka --extra nats --extra redis --output-file requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --extra postgresql --extra kafka --extra nats --extra redis --group dev --constraints requirements/run.txt --output-file requirements/dev.txt pyproject.toml

.make/venv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	@mkdir -p .make && touch $@

.make/run: .make/venv pyproject.toml requirements/run.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements/run.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -m compileall -q src/payoff
	@touch $@

.make/dev: .make/run requirements/dev.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements/dev.txt
	@touch $@

# Real servers for the tests that need one; where one cannot be installed its tests are skipped, with the reason printed.
.make/servers:
	@mkdir -p .make
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql >>.make/wanted
	@PATH="$$PATH:/usr/sbin" command -v nats-server >/dev/null 2>&1 || echo nats-server >>.make/wanted
	@command -v redis-server >/dev/null 2>&1 || echo redis-server >>.make/wanted
	@if ! [ -s .make/wanted ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -qq >.make/apt.log 2>&1; \
	  for server in $$(cat .make/wanted); do \
	    echo "installing $$server for the tests"; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$server >>.make/apt.log 2>&1 \
	      || echo "$$server could not be installed (.make/apt.log): its tests will be skipped"; \
	  done; \
	else echo "not installed, and may not be installed here: $$(tr '\n' ' ' <.make/wanted): their tests will be skipped"; fi
	@rm -f .make/wanted
	@touch $@
