# Every target makes its own environment the first time: nothing is needed but make and Python >= 3.11 with venv.
# `make test PYTHON=python3.12` uses another interpreter, in an environment of its own; VENV= places it elsewhere.

VENV ?= $(if $(PYTHON),.venv-$(notdir $(PYTHON)),.venv)
WORKERS ?= 3
ARGS ?=
TARGETS ?= b64 json header jws payload jws-json jwe deflate jwe-json jwk key-file
RUNS ?= 100000
MUTANTS ?= admit.jose.* admit.tokens.*
MINUTES ?= 60

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --no-input --disable-pip-version-check
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)
INSTALLED := $(VENV)/.installed

.PHONY: help demo test lint unit soak bench format man build install clean fuzz mutate

help:  ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name does; do printf '  make %-8s %s\n' "$$name" "$$does"; done

demo: $(INSTALLED)  ## see Admit at work
	@$(BIN)/admit demo

test: lint unit  ## everything a change must pass: ruff, mypy, import-linter, pytest

lint: $(INSTALLED)  ## ruff, mypy --strict and the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(INSTALLED)  ## pytest alone; ARGS='-k word' passes arguments on
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

soak: $(INSTALLED)  ## the long tests that `make test` leaves out
	$(BIN)/pytest -m soak $(ARGS)

fuzz: $(INSTALLED)  ## atheris on every parser; TARGETS='jws jwe' for some, RUNS=10000000 for more inputs
	@$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev,fuzz]'
	@set -e; for name in $(TARGETS); do echo "== $$name"; \
		$(BIN)/python -m tests.soak.fuzz $$name -runs=$(RUNS) -max_len=4096 -verbosity=0 -print_final_stats=1; done

mutate: $(INSTALLED)  ## is there a test for every rule of jose/ and tokens/? MUTANTS='admit.jose.jwe.*' for a part, MINUTES=60 at most
	@$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev,mutate]'
	-timeout $(MINUTES)m $(BIN)/python -m tests.soak.mutate $(foreach name,$(MUTANTS),'$(name)')
	@$(BIN)/python -m tests.soak.mutate score

bench: $(INSTALLED)  ## Admit and its peers side by side
	@set -e; for script in bench/[!_]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

format: $(INSTALLED)  ## lay the code out and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

man: $(INSTALLED)  ## write the manual pages anew from the commands' own help
	$(BIN)/python -m admit.cli.manual

build: $(INSTALLED)  ## sdist and wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

install: $(INSTALLED)  ## only make the environment
	@:

clean:  ## remove what these commands made, environments too
	rm -rf .venv .venv-* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# hatchling comes first, and pinned: build isolation would fetch whichever is newest.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing pinned versions into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		for python in $(CANDIDATES); do \
			if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then exec "$$python" -m venv $(VENV); fi; \
		done; \
		echo "No Python >= 3.11 answers (tried $(CANDIDATES)); name one: make ... PYTHON=/path/to/python" >&2; exit 1; }
	@$(PIP) install -c constraints.txt hatchling editables
	@$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@
