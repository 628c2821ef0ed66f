# make test    every test, in a virtual environment made on first use
# make lint    style and types
# make demo    examples/labels -> facades/
# make bench   the benchmark, a quarter of an hour; ONLY=net for one section
# make soak    the torture tests, a quarter of an hour; SOAK_SCALE=0.1 for less
# make clean   removes the virtual environment and what tools left
#
# make test PYTHON=python3.13    another Python (3.11 to 3.13)

VENV ?= .venv$(addprefix -,$(notdir $(PYTHON)))
BIN := $(VENV)/bin
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
SUITABLE := import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
REQUIREMENTS := setup.cfg pyproject.toml constraints.txt

.PHONY: test lint demo bench soak clean

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(VENV)/.installed
	$(BIN)/facadegen examples/labels facades

bench: $(VENV)/.installed-bench
	$(BIN)/python -m tests.bench $(ONLY:%=--only %)

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -s tests/soak

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

# The stamps make the second time fast: pip runs again only when what it installs from has changed.
$(VENV)/.installed: $(REQUIREMENTS) | $(BIN)/python
	$(INSTALL) .
	touch $@

$(VENV)/.installed-dev: $(REQUIREMENTS) | $(BIN)/python
	$(INSTALL) '.[test,lint]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(REQUIREMENTS) | $(BIN)/python
	$(INSTALL) '.[bench]'
	touch $@ $(VENV)/.installed

$(BIN)/python:
	@for python in $(CANDIDATES); do \
	    if $$python -c '$(SUITABLE)' 2>/dev/null; then exec $$python -m venv $(VENV); fi; \
	done; echo 'No Python 3.11 to 3.13 with venv found; name one with make PYTHON=...' >&2; exit 1
