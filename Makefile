# The two commands of the README are `make demo` and `make test`. Each does all of its own set-up.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint unit models conformance clean

help:
	@echo "make demo         one whole verification before an emulated camera, and its offline verification"
	@echo "make test         linters, types, import contracts and tests"
	@echo "make conformance  our face landmarks beside MediaPipe's Face Mesh (own environment)"

# --- set-up: a virtual environment with what setup.py names, and the models that come from elsewhere ---

$(VENV)/.ready: setup.py provisioning/prepare.sh
	provisioning/prepare.sh $(PYTHON) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,demo,evaluate]'
	@touch $@

$(VENV)/.models: $(VENV)/.ready models/manifest.toml
	$(BIN)/vouchbox models install
	@touch $@

models: $(VENV)/.models

demo: $(VENV)/.models
	$(BIN)/vouchbox demo

test: $(VENV)/.models lint unit

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.models
	$(BIN)/python -m pytest -n 2 --dist loadfile

conformance: $(VENV)/.models
	tests/conformance/run.sh $(PYTHON)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
