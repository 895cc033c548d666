# make run: the relay.  make test: everything.  Both set up .venv first; only Python 3.11 or later is needed.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: help setup run test test-quick test-soak bench docs lock audit clean

help:
	@echo "make setup       .venv with everything Python needs; does nothing when it is up to date"
	@echo "make run         the relay with an embedded store and a virtual device (ARGS=--no-simulator)"
	@echo "make test        lint, types, import contracts, all tests, also on Debian's Redis, under Sentinel and on a Cluster"
	@echo "make test-quick  lint, types and the tests of protocol, HTTP client and relay"
	@echo "make test-soak   the tests that take minutes: 100 kills at random, ten minutes of load, longer fuzzing (ARGS go to pytest)"
	@echo "make bench       the benchmarks beside their baselines (ARGS go to them)"
	@echo "make docs        writes docs' generated parts, openapi.yaml and postman/ anew"
	@echo "make lock        requirements*.txt anew from pyproject.toml"
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
	@$(BIN)/python scripts/test

test-quick: .venv/.dev
	@$(BIN)/python scripts/test --quick

test-soak: .venv/.dev
	@$(BIN)/python -m pytest -m soak tests $(ARGS)

bench: .venv/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

docs: .venv/.dev
	@$(BIN)/python scripts/docs
	@$(BIN)/python scripts/openapi

lock: .venv/.dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--extra dev pyproject.toml -o requirements-dev.txt

audit: .venv/.dev
	@$(BIN)/python scripts/audit

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# What is installed: .run what running needs, .dev that and what tests need.

.venv/.dev: requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what running and testing need into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch .venv/.run $@

.venv/.run: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the relay needs into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "cams-relay needs Python 3.11 or later, and there is no $(PYTHON): install it, or name one, e.g. make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "cams-relay needs Python 3.11 or later, and $(PYTHON) is $$("$(PYTHON)" -V 2>&1): name a later one, e.g. make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 1; }
