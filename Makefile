# `make test` and `make demo` do all the set-up they need: python3 (3.11 or newer), git and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than there are processors, since tests also wait for servers, signals and disks; and not so many that the tests' own servers starve.
JOBS ?= $(shell n=$$(nproc); [ $$n -gt 3 ] && echo 4 || echo $$((n + 1)))

# Modules are compiled once (pytest's rewritten ones too), whatever the shell says.
export PYTHONDONTWRITEBYTECODE =

.PHONY: test thorough frameworks check demo bench format pins

test: .make/dev .make/servers check
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# What repeats in full what a quicker test of `make test` shows in kind; CI runs both.
thorough: .make/dev .make/servers
	$(BIN)/python -m pytest -m thorough -n $(JOBS) --dist worksteal

# The tests with scikit-learn, LightGBM, XGBoost, PyTorch and TensorFlow themselves: about 0.7 GB of wheels the first time (uv keeps them).
frameworks: .make/dev
	$(BIN)/python -m pytest -m frameworks -n 0 --durations=0

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
	  --extra postgresql --output-file requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --extra postgresql --extra s3 --extra delta --extra iceberg --extra http --extra mysql --extra redis --extra nats --extra kafka --extra avro --extra flightsql --extra snowflake --extra bigquery --extra serve --group dev --constraints requirements/run.txt --output-file requirements/dev.txt pyproject.toml

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
SERVERS := postgresql:/usr/lib/postgresql mariadb-server:/usr/bin/mariadb-install-db redis-server:/usr/bin/redis-server nats-server:/usr/sbin/nats-server docker-registry:/usr/bin/docker-registry skopeo:/usr/bin/skopeo podman:/usr/bin/podman docker.io:/usr/sbin/dockerd runc:/usr/sbin/runc catatonit:/usr/bin/catatonit openssh-client:/usr/bin/ssh-keygen
.make/servers:
	@mkdir -p .make
	@missing=$$(for each in $(SERVERS); do [ -e "$${each#*:}" ] || echo "$${each%%:*}"; done); \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "installing for the tests:" $$missing; apt-get update -qq >.make/apt.log 2>&1; \
	  for each in $$missing; do \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$each >>.make/apt.log 2>&1 \
	      || echo "$$each could not be installed (.make/apt.log): its tests will be skipped"; \
	  done; \
	else echo "not installed, and may not be installed here:" $$missing "(their tests will be skipped)"; fi
	@touch $@
