# Everything here sets up what it needs, on a machine that has Python >= 3.11, make and a network.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
QUIET  := --quiet --disable-pip-version-check

.PHONY: demo test lint unit conformance processes hosts trust verdicts reliability browser \
	oldest e2e backends stack scale fuzz soak package bench docs pictures dist sbom constraints clean

# The main job, with nothing but the package and its dependencies: a scripted agent works, and
# the report says where the time went; another freezes, is found out and, being asked for, ended.
demo: $(VENV)/.runtime
	$(BIN)/otel-untether demo
	$(BIN)/otel-untether demo --stall wedged --kill

# Everything, whatever fails; at the end it says how each part went, and how long it took. Parts
# joined by + run side by side: they mostly wait, or, as the building of real backends the first
# time, leave room to others. In CI a missing tool is a failure; elsewhere it is said loudly.
PARTS ?= backends+lint,unit,conformance,browser package+scale processes reliability verdicts \
	trust+hosts e2e oldest+stack

test: $(VENV)/.dev
	@MAKE="$(MAKE)" $(BIN)/python -m scripts.test_parts $(PARTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Functions of their arguments: no process, no network, about a minute.
unit: $(VENV)/.dev
	$(BIN)/python -m pytest tests/unit

# Real processes, terminals, sockets, and the commands as a user runs them.
processes: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes \
		--ignore=tests/processes/trust --ignore=tests/processes/reliability \
		--ignore=tests/processes/instrumentors --ignore=tests/processes/verdicts

# Programs that spawn agents, real ones among them, each in an environment of its own.
hosts: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes/instrumentors

# Hostile agents, repositories, neighbours and collectors: nothing leaks, nothing is harmed.
trust: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes/trust

# A zoo of real processes in states that agents get into, each judged as its row says.
verdicts: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes/verdicts

# Crashes, dead collectors, full disks, many runs at once: nothing is lost.
reliability: $(VENV)/.dev
	$(BIN)/python -m pytest tests/processes/reliability

# Recordings of real agents against accounts of their own, and their lines a hundred thousandfold
# broken.
conformance: $(VENV)/.dev
	$(BIN)/python -m pytest tests/conformance

# What is given away: the same bytes each time, complete, and able to test itself.
package: $(VENV)/.dev
	$(BIN)/python -m pytest tests/package

# The report's page in a real browser: Debian's Chromium, from PATH or into the cache.
browser: $(VENV)/.dev
	$(BIN)/python -m pytest tests/browser

# The same on the oldest OpenTelemetry that we support: all that is pure, and whatever exports.
EXPORTING := $(addprefix tests/processes/,cli export sources store watching) \
	$(addprefix tests/processes/reliability/,test_delivery.py test_losses.py test_resending.py)
oldest: .venv-oldest/.dev
	.venv-oldest/bin/python -m pytest tests/unit tests/conformance $(EXPORTING)

# Real agent CLIs against a scripted model endpoint, in a network namespace of their own.
e2e: $(VENV)/.dev
	$(BIN)/python -m pytest tests/e2e

# The real backends that `stack`, `scale` and `package` need, into a cache: twenty minutes the first
# time, seconds later. What cannot be had, they say.
backends: $(VENV)/.dev
	-nice -n 19 $(BIN)/python -m scripts.stack.obtain

# The real collector, Jaeger and Prometheus with the configuration that we ship.
stack: $(VENV)/.dev
	$(BIN)/python -m pytest tests/stack

# The same past one machine: Kafka, OpenSearch, two gateways.
scale: $(VENV)/.dev
	$(BIN)/python -m pytest tests/scale

# Random input without end, and runs that last: not part of `test`, minutes to hours.
fuzz: $(VENV)/.dev
	MUTATIONS=1000000 $(BIN)/python -m pytest tests/unit tests/conformance tests/processes \
		-m "hypothesis or lives" \
		--hypothesis-profile=fuzz --timeout=3600

soak: $(VENV)/.dev
	SOAK=1 $(BIN)/python -m pytest tests/processes -m soak --timeout=7200
	SOAK=1 $(BIN)/python -m pytest tests/scale tests/stack/test_under_load.py

bench: $(VENV)/.dev
	@missed=; for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b || missed="$$missed $$b"; \
		done; [ -z "$$missed" ] || { echo "targets missed:$$missed"; exit 1; }

# Pages that are made from the source, and a reference of what is public in build/api.
docs: $(VENV)/.dev
	$(BIN)/python -m scripts.semconv_docs > docs/telemetry.md
	$(BIN)/python -m scripts.config_docs > docs/configuration.md
	$(BIN)/pdoc --docformat restructuredtext --output-directory build/api otel_untether \
		otel_untether.spans otel_untether.metrics otel_untether.stall \
		otel_untether.engines.engine otel_untether.session.events

# The pictures of the README, from the real thing: minutes, and a Chromium.
pictures: $(VENV)/.dev
	$(BIN)/python -m scripts.pictures

# Sdist and wheel, the same bytes whoever builds them, and what the wheel pulls in (CycloneDX).
dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m hatchling build

sbom: dist .venv-release/.installed
	rm -rf build/sbom && $(PYTHON) -m venv --without-pip build/sbom
	.venv-release/bin/pip --python build/sbom/bin/python install $(QUIET) \
		--require-hashes --requirement constraints/runtime.txt
	.venv-release/bin/pip --python build/sbom/bin/python install $(QUIET) --no-deps dist/*.whl
	.venv-release/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library \
		--output-reproducible --output-file build/sbom.cdx.json build/sbom/bin/python

# Exact versions and hashes of all that is installed here; those pinned already stay unless
# their file is removed first.
LOCK := .venv-release/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url

constraints: .venv-release/.installed
	$(LOCK) pyproject.toml --group dev --output-file constraints/dev.txt
	$(LOCK) pyproject.toml --constraint constraints/dev.txt \
		--output-file constraints/runtime.txt
	$(LOCK) --group build --constraint constraints/dev.txt --output-file constraints/build.txt
	$(LOCK) --group release --output-file constraints/release.txt
	$(LOCK) pyproject.toml --group test --constraint constraints/oldest.in \
		--output-file constraints/oldest.txt

clean:
	rm -rf $(VENV) .venv-oldest .venv-release .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache build dist

# An environment with exactly what a file of constraints/ lists, and this project on top.
define install
	$(PYTHON) -m venv $(1)
	$(1)/bin/pip install $(QUIET) --require-hashes --requirement constraints/build.txt
	$(1)/bin/pip install $(QUIET) --require-hashes --requirement $(2)
	$(1)/bin/pip install $(QUIET) --no-build-isolation --no-deps --editable .
endef

$(VENV)/.runtime: pyproject.toml constraints/build.txt constraints/runtime.txt
	$(call install,$(VENV),constraints/runtime.txt)
	touch $@

$(VENV)/.dev: $(VENV)/.runtime constraints/dev.txt
	$(BIN)/pip install $(QUIET) --require-hashes --requirement constraints/dev.txt
	touch $@

.venv-oldest/.dev: pyproject.toml constraints/build.txt constraints/oldest.txt
	$(call install,.venv-oldest,constraints/oldest.txt)
	touch $@

.venv-release/.installed: constraints/build.txt constraints/release.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/pip install $(QUIET) --require-hashes --requirement constraints/release.txt
	touch $@
