# Two commands do everything, set-up included:
#
#   make demo    find the campaigns in demo/logs, end on the summary, and, at a terminal, in the console
#   make test    everything a change must pass
#
# While working: make lint, make types, make walls, make unit (the parts of make test), make fix, make clean.
#
#   make console     look at the results of the demo, or of OUT=DIR, in a browser
#   make forum-demo  three providers, a hub and a campaign that none of them sees alone, on this machine
#   make bench       the golden benchmark in some minutes: docs/benchmark.md, bench/results/golden.json, pictures
#   make bench-full  all of it, about an hour; goes on where it was stopped. CORPUS=DIR SEED=N for other texts and seeds
#   make bench-scan  time and memory of a scan
#   make long        tests that take a minute and more between them, which `make test` leaves out
#   make cluster     a Spark master with two workers on this machine, killed on the way; needs Java
# They need python3 (3.11 or newer) with its venv module, make, and a package index for pip.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OUT    ?= demo-out
DATA   ?= console-data
CORPUS ?=
SEED   ?= 300
# Further extras that the tests are run with, each with a comma before it. `provenance` fetches PyTorch: without it (EXTRAS=) its
# tests are skipped, and `types` finds its imports missing.
EXTRAS ?= ,provenance

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo console forum-demo test fix lint types walls unit long cluster bench bench-full bench-scan clean

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# pip's own bar is lost in a pipe, so its lines are cut down to one for each package.
BRIEF := sed -u -n -e 's/^Collecting \([A-Za-z0-9._-]*\).*/  . \1/p' -e 's/^Installing collected.*/  installing/p' \
	-e 's/^Successfully installed.*/  installed/p'

help:
	@sed -n 's/^#  *\(make .*\)/\1/p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...' >&2; exit 1; }
	@echo '==> a virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo 'Python has no venv module; on Debian: apt install python3-venv' >&2; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo '==> installing spiritsafe (about 200 MB to fetch the first time)'
	@$(PIP) install -e . | $(BRIEF)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo '==> installing spiritsafe and what its tests need (1 GB and more to fetch the first time)'
	@$(PIP) install -e '.[dev$(EXTRAS)]' | $(BRIEF)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	@echo '==> installing spiritsafe and the peers it is measured beside'
	@$(PIP) install -e '.[bench]' | $(BRIEF)
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@echo '==> spiritsafe scan demo/logs --out $(OUT)'
	@$(BIN)/spiritsafe scan demo/logs --out $(OUT)
	@if [ -t 0 ] && [ -t 1 ] && [ -z "$${CI:-}" ]; then $(MAKE) --no-print-directory console; \
		else echo 'Look at it in a browser:  make console'; fi

$(VENV)/.installed-console: pyproject.toml | $(BIN)/python
	@echo '==> installing spiritsafe and what its console needs'
	@$(PIP) install -e '.[console,cases]' | $(BRIEF)
	@touch $@

console: $(VENV)/.installed-console
	@[ -d $(OUT) ] || { echo 'There is no result in $(OUT) yet: make demo' >&2; exit 1; }
	@[ -e $(DATA)/console.toml ] || $(BIN)/spiritsafe console init --data $(DATA) --records demo/logs
	@echo '==> spiritsafe console $(OUT) --data $(DATA)     (Ctrl-C ends it)'
	@$(BIN)/spiritsafe console $(OUT) --data $(DATA)

$(VENV)/.installed-forum: pyproject.toml | $(BIN)/python
	@echo '==> installing spiritsafe and what its forum needs'
	@$(PIP) install -e '.[transparency]' | $(BRIEF)
	@touch $@ $(VENV)/.installed

forum-demo: $(VENV)/.installed-forum
	@$(BIN)/python demo/forum.py --out forum-demo-out

test: lint types walls unit

fix: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

walls: $(VENV)/.installed-dev
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/.installed-dev
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile # a file has fixtures that are dear to make

long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m long

cluster: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m cluster

GOLDEN := PYTHONPATH=bench $(BIN)/python -m golden --seed $(SEED) $(if $(CORPUS),--corpus $(CORPUS))

bench: $(VENV)/.installed-bench
	@$(GOLDEN) --tier quick

bench-full: $(VENV)/.installed-bench
	@$(GOLDEN) --tier full

bench-scan: $(VENV)/.installed-bench
	$(BIN)/python bench/scan.py --exchanges 100000 --exchanges 1000000

clean:
	rm -rf $(VENV) $(VENV)-litellm demo-out console-data forum-demo-out bench-out build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
