# make run: the relay.  make test: everything.  Both set up .venv first; only Python 3.11 or later is needed.
PYTHON ?= python3
ARGS ?=
OUT ?= build/make-app
BIN := .venv/bin

.PHONY: help setup run test test-quick test-soak simulate bench docs make-app catalogs connector lock audit clean

help:
	@echo "make setup       .venv with everything Python needs; does nothing when it is up to date"
	@echo "make run         the relay with an embedded store and a simulated device (ARGS=--no-simulator)"
	@echo "make test        lint, types, import contracts, all tests, also on Debian's Redis, under Sentinel and on a Cluster"
	@echo "make test-quick  lint, types and the tests of protocol, HTTP client and relay"
	@echo "make test-soak   the tests that take minutes: 100 kills at random, ten minutes of load, longer fuzzing (ARGS go to pytest)"
	@echo "make simulate    runs the simulation of failures (SEED=4711, SEEDS=0:2000 or SECONDS=600; docs/simulation.md)"
	@echo "make bench       run the benchmarks and compare them with their baselines (options in ARGS)"
	@echo "make docs        updates the generated parts of docs, openapi.yaml, asyncapi.yaml and postman/"
	@echo "make make-app    builds the app for Make into build/make-app, or into the folder that OUT names"
	@echo "make catalogs    builds the catalogs of n8n-nodes/ and zapier-app/, as their own npm scripts do"
	@echo "make connector   builds a wheel that contains only the Hybrid Connector into build/connector"
	@echo "make lock        updates requirements*.txt from pyproject.toml"
	@echo "make audit       known vulnerabilities of what the lock files name; needs the internet"
	@echo "make clean       removes .venv and caches; .data stays"

setup: .venv/.dev

run: .venv/.run
	@if [ -z "$${RELAY_ALLOW_PRIVATE_TARGETS+set}" ] && ! grep -qs '^[[:space:]]*\(export \)*RELAY_ALLOW_PRIVATE_TARGETS=' .env; then \
		export RELAY_ALLOW_PRIVATE_TARGETS=127.0.0.0/8,::1/128; \
	fi; \
	exec $(BIN)/cams-relay up $(ARGS)

test: .venv/.dev
	@scripts/install-redis
	@scripts/install-chromium
	@scripts/install-php
	@scripts/install-promtool
	@scripts/install-faketime
	@scripts/install-postgres
	@scripts/install-mariadb
	@scripts/install-buildah
	@scripts/install-caddy
	@$(BIN)/python scripts/test

test-quick: .venv/.dev
	@$(BIN)/python scripts/test --quick

test-soak: .venv/.dev
	@$(BIN)/python -m pytest -m soak tests $(ARGS)

simulate: .venv/.dev
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED) $(if $(STEPS),--steps '$(STEPS)'),--jobs 2 \
		$(if $(SECONDS),--seconds $(SECONDS),--seeds $(or $(SEEDS),0:2000)))

bench: .venv/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

docs: .venv/.dev
	@$(BIN)/python scripts/docs
	@$(BIN)/python scripts/openapi

make-app: .venv/.run
	@$(BIN)/python scripts/make-app "$(OUT)"

catalogs: .venv/.run
	@$(BIN)/python scripts/catalog n8n-nodes/nodes/catalog.json zapier-app/catalog.json

connector:
	@$(PYTHON) scripts/connector-wheel

lock: .venv/.dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--extra dev pyproject.toml -o requirements-dev.txt
	@# The same versions as those that are tested.
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--constraint requirements-dev.txt pyproject.toml -o requirements.txt
	@# The container image also has what backups on S3 and OpenTelemetry need.
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--constraint requirements-dev.txt --extra s3 --extra otel pyproject.toml -o requirements-image.txt

audit: .venv/.dev
	@$(BIN)/python scripts/audit

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# What is installed: .run what running needs, .dev that and what tests need.

.venv/.dev: requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python scripts/setup requirements-dev.txt
	@touch .venv/.run $@

.venv/.run: requirements.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python scripts/setup requirements.txt
	@touch $@

$(BIN)/python:
	@echo "[1/4] Creating .venv. The first time, this and the next steps take about a minute."
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "cams-relay needs Python 3.11 or later, and there is no $(PYTHON): install it, or name one, e.g. make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "cams-relay needs Python 3.11 or later, and $(PYTHON) is $$("$(PYTHON)" -V 2>&1): name a later one, e.g. make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@"$(PYTHON)" -m venv --without-pip .venv || { rm -rf .venv; exit 1; }
