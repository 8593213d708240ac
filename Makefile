# `make` says what there is. Each target makes the virtual environment it needs below .make/ and installs into it;
# the developers' own .venv is left alone.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# The interpreter: the first of these that is new enough, or `make test PYTHON=/path/to/python3.12`.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for name in $(CANDIDATES); do \
	if "$$name" -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then echo "$$name"; break; fi; done)
endif

VENV := .make/venv
BIN := $(VENV)/bin
# What follows `make test ARGS=`: arguments of pytest, such as ARGS='tests/unit -k alerts'.
ARGS ?=
# How many processes run the tests: one more than there are processors, since many tests wait for disks and programs.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PORT ?= 8080
# How many engines `make soak` kills, at least.
KILLS ?= 200
# Which reader `make fuzz` tries (of those in tests/fuzz/readers.py), and for how long.
READER ?= webhook
SECONDS ?= 60

.PHONY: help demo test soak fuzz lint types contract check docs serve bench clean

help:  ## Say what there is
	@echo 'make demo      run the demonstration: a service breaks and is repaired (less than two minutes)'
	@echo "make test      run every test; a part of them: make test ARGS='tests/unit -k alerts'"
	@echo 'make soak      kill engines $(KILLS) times and more, and check that nothing is lost or done twice (KILLS=$(KILLS))'
	@echo "make fuzz      try one reader of what others send under atheris (READER='$(READER)' SECONDS=$(SECONDS))"
	@echo 'make lint      ruff: mistakes and format'
	@echo 'make types     mypy --strict'
	@echo 'make contract  which room of the code may import which'
	@echo 'make check     lint, types and contract'
	@echo 'make docs      write the made parts of the documentation again'
	@echo 'make serve     run the engine with its REST interface and console (PORT=$(PORT))'
ifneq ($(wildcard benchmarks/__main__.py),)
	@echo 'make bench     measure'
endif
	@echo 'make clean     remove what these targets have made'

demo: .make/base
	@$(BIN)/automation demo

test: .make/dev
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

soak: .make/dev
	@DURABILITY_KILLS=$(KILLS) DURABILITY_LIVES=$(KILLS) $(BIN)/python -m pytest \
		tests/durability tests/unit/workflows/test_workflow_properties.py $(ARGS)

fuzz: .make/dev
	@$(BIN)/python -m pip install --quiet 'atheris>=3'
	@$(BIN)/python -m tests.fuzz.with_atheris '$(READER)' $(SECONDS)

lint: .make/dev
	@echo 'ruff'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .make/dev
	@echo 'mypy --strict'
	@$(BIN)/mypy

contract: .make/dev
	@echo 'import contract'
	@$(BIN)/lint-imports --no-logo

check: lint types contract

docs: .make/base
	@$(BIN)/python docs/generate.py
	@$(BIN)/python -m automation.api.reference
	@$(BIN)/python -m automation.cli.reference

serve: .make/base
	@$(BIN)/automation serve --port $(PORT)

ifneq ($(wildcard benchmarks/__main__.py),)
bench: .make/dev
	@$(BIN)/python -m benchmarks $(ARGS)
endif

clean:
	rm -rf .make .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find automation tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# A dot for each package; what goes wrong is on stderr, or in the last lines of the log.
define install
	@echo 'installing $(1)'
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off --editable '$(1)' \
		| tee .make/pip.log | awk '/^ *(Collecting|Requirement)/ { printf "."; fflush() } END { print "" }' \
		|| { tail -n 30 .make/pip.log; exit 1; }
endef

.make/base: pyproject.toml .make/python
	$(call install,.)
	@touch $@

.make/dev: pyproject.toml .make/python
	$(call install,.[dev])
	@touch $@ .make/base

.make/python:
	@[ -n '$(PYTHON)' ] || { echo 'Python 3.11 or newer is needed, and none was found: make PYTHON=/path/to/it' >&2; exit 1; }
	@'$(PYTHON)' -c '$(NEW_ENOUGH)' || { echo '$(PYTHON) is older than Python 3.11' >&2; exit 1; }
	@echo 'making a virtual environment with $(PYTHON)'
	@rm -rf $(VENV)
	@if '$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null; then '$(PYTHON)' -m venv $(VENV); \
	elif '$(PYTHON)' -c 'import virtualenv' 2>/dev/null; then '$(PYTHON)' -m virtualenv --quiet $(VENV); \
	elif command -v virtualenv >/dev/null; then virtualenv --quiet --python '$(PYTHON)' $(VENV); \
	else echo 'this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; fi
	@touch $@
