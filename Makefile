# make test    every test, in a virtual environment made on first use
# make lint    style and types
# make demo    examples/labels -> facades/
# make bench   the benchmark, a quarter of an hour; ONLY=net for one section
# make soak    the torture tests, a quarter of an hour; SOAK_SCALE=0.1 for less
# make weights the shipped weights anew, from DATA=data into runs/weights/: half an hour on a GPU and
#              an hour and a quarter on two cores
# make clean   removes the virtual environment and what tools left
#
# make test PYTHON=python3.13    another Python (3.11 to 3.13)

VENV ?= .venv$(addprefix -,$(notdir $(PYTHON)))
BIN := $(VENV)/bin
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
SUITABLE := import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
REQUIREMENTS := setup.cfg pyproject.toml constraints.txt

.PHONY: test lint demo bench soak weights clean

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

# The first five runs that weights/README.md tells of. Stopped ones go on, finished ones are not done again.
DATA := data
RUNS := runs/weights
BATCH_SIZE := 32
FIT = $(BIN)/python -m training.fit --data $(DATA)/facades --data $(DATA)/cmp_base --batch-size $(BATCH_SIZE)

weights: $(RUNS)/facades.pt

$(RUNS)/first.pt: | $(VENV)/.installed-dev
	$(FIT) --out $@ --run-dir $(RUNS)/first --steps $(or $(STEPS),6675)

$(RUNS)/second.pt: $(RUNS)/first.pt
	$(FIT) --out $@ --run-dir $(RUNS)/second --steps $(or $(STEPS),8400) --seed 37 \
	    --start-from $(RUNS)/first/checkpoint.pt

$(RUNS)/third.pt: $(RUNS)/second.pt
	$(FIT) --out $@ --run-dir $(RUNS)/third --steps $(or $(STEPS),8560) --seed 42 \
	    --start-from $< --start-share 0.5 --generator-rate 3e-4

$(RUNS)/fourth.pt: $(RUNS)/third.pt
	$(BIN)/python -m training.open_sky --data $(DATA)/facades --data $(DATA)/cmp_base --weights $< --out $@ \
	    --run-dir $(RUNS)/open-sky --steps $(or $(STEPS),2000)

$(RUNS)/facades.pt: $(RUNS)/fourth.pt
	$(BIN)/python -m training.refine --data $(DATA)/facades --data $(DATA)/cmp_base --weights $< --out $@ \
	    --run-dir $(RUNS)/refined --steps $(or $(STEPS),480)

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
