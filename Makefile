# make demo    on a fresh machine: install, train, evaluate and predict on photos that a package brings
# make test    all checks but the slow tests; what CI runs
# make help    the rest

PYTHON ?= python3
VENV ?= .venv
# A folder of photos by class, for `make bench`
DATA ?=

# ONNX Runtime's official builds report their use to Microsoft unless they are told not to
export ORT_DISABLE_TELEMETRY ?= 1

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# the tests of a module stay in one process, with its fixtures
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope

.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint format bench docs clean

help:
	@echo "make demo      install into $(VENV), train on photos that a package brings, show the report"
	@echo "make test      lint, types, layers, and the tests that take seconds"
	@echo "make test-all  the slow tests too"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make format    let ruff put the code in shape"
	@echo "make bench     benchmarks; DATA=folder gives them photos/CLASS/*.jpg"
	@echo "make docs      write the generated pages anew"
	@echo "make clean     remove what the targets above made, $(VENV) too"

demo: $(VENV)/core.stamp
	@$(BIN)/python examples/demo.py

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/dev.stamp
	@failed=; for script in benchmarks/*.py; do \
	    echo; echo "== $$script $(DATA)"; $(BIN)/python $$script $(DATA) || failed="$$failed $$script"; \
	done; test -z "$$failed" || { echo "these failed:$$failed"; exit 1; }

docs: $(VENV)/dev.stamp
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "rehead needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

# The stamps say which pyproject.toml was installed; nothing is fetched while they are newer than it.

$(VENV)/core.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing rehead into $(VENV); only the first time"
	@$(PIP) --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing rehead and its development tools into $(VENV); only the first time"
	@$(PIP) --editable ".[dev]"
	@touch $(VENV)/core.stamp $@
