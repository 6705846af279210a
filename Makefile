# Everything here sets up what it needs, on a machine that has Python >= 3.11, make and a network.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test lint unit conformance processes trust reliability oldest e2e stack \
	fuzz soak bench docs clean

# The main job, with nothing but the package and its dependencies: a scripted agent works, and
# the report says where the time went; another freezes, is found out and, being asked for, ended.
demo: $(VENV)/.runtime
	$(BIN)/otel-untether demo
	$(BIN)/otel-untether demo --stall wedged --kill

# Everything, whatever fails; at the end it says how each part went, and how long it took. Parts
# joined by + run side by side: they mostly wait. In CI a missing tool is a failure; elsewhere it
# is said loudly.
PARTS ?= lint unit conformance processes trust reliability oldest+e2e stack

test: $(VENV)/.dev
	@MAKE="$(MAKE)" $(BIN)/python -m scripts.test_parts $(PARTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Functions of their arguments: no process, no network, under a minute.
unit: $(VENV)/.dev
	$(BIN)/python -m pytest tests/unit

# Real processes, terminals, sockets, and the commands as a user runs them.
processes: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes \
		--ignore=tests/processes/trust --ignore=tests/processes/reliability

# Hostile agents, repositories, neighbours and collectors: nothing leaks, nothing is harmed.
trust: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes/trust

# Crashes, dead collectors, full disks, many runs at once: nothing is lost.
reliability: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes/reliability

conformance: $(VENV)/.dev
	$(BIN)/python -m pytest tests/conformance

# The same suite on the oldest OpenTelemetry that we support.
oldest: .venv-oldest/.dev
	.venv-oldest/bin/python -m pytest tests/unit tests/conformance tests/processes

# Real agent CLIs against a scripted model endpoint, in a network namespace of their own.
e2e: $(VENV)/.dev
	$(BIN)/python -m pytest tests/e2e

# The real collector, Jaeger and Prometheus with the configuration that we ship.
stack: $(VENV)/.dev
	$(BIN)/python -m pytest tests/stack

# Random input without end, and runs that last: not part of `test`, minutes to hours.
fuzz: $(VENV)/.dev
	$(BIN)/python -m pytest tests/unit tests/processes -m "hypothesis or lives" \
		--hypothesis-profile=fuzz --timeout=3600

soak: $(VENV)/.dev
	SOAK=1 $(BIN)/python -m pytest tests/processes -m soak --timeout=7200

bench: $(VENV)/.dev
	@for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

docs: $(VENV)/.dev
	$(BIN)/python -m scripts.semconv_docs > docs/telemetry.md

clean:
	rm -rf $(VENV) .venv-oldest .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.runtime: pyproject.toml constraints/latest.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --constraint constraints/latest.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) --constraint constraints/latest.txt --group dev
	touch $@

.venv-oldest/.dev: pyproject.toml constraints/latest.txt constraints/oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check \
		--constraint constraints/oldest.txt --editable . --group test
	touch $@
