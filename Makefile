# Each verb makes ready what it needs (a virtual environment in .venv, pinned by constraints.txt) and costs nothing
# extra when that is there. Another Python: make PYTHON=/path/to/python3.12 ...

SHELL := /bin/sh
BIN := .venv/bin
ENVIRONMENT := scripts/environment
# builds the console where its sources changed, with a node that comes from a wheel
CONSOLE := $(BIN)/python hatch_build.py
# how many test processes; `make test JOBS=0` runs them in one
JOBS ?= 2
# what else pytest is told: make test ARGS="tests/buvar -k scope"
ARGS ?=
# a file's tests stay in one process: the blocks of a page build on each other
PYTEST := -m pytest -n $(JOBS) --dist loadfile

# what a caller's own environment must not decide here
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONSTARTUP

.DEFAULT_GOAL := help
.PHONY: help setup run test check style types console contracts security changelog rules coverage bench torture pictures test-all lock

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r verb text; do \
		printf 'make %-9s %s\n' "$$verb" "$$text"; done

setup: ## .venv with everything for development
	@$(ENVIRONMENT) dev
	@$(CONSOLE)

# when make began, for the start message to tell how long it took; expanded before anything is done
run: export BINP_BEGAN := $(shell date +%s.%N)
run: ## serve examples/quickstart.py; Ctrl-C ends it
	@$(ENVIRONMENT) run
	@$(CONSOLE) || echo "The console is missing; everything else is served. CONSOLE_NODE=none make run does not try."
	@exec $(BIN)/python scripts/foreground.py $(BIN)/binp run examples/quickstart.py

test: setup ## all tests, and the documentation's code
	@scripts/chromium >/dev/null || echo "the tests that need a browser are skipped"
	$(BIN)/python $(PYTEST) $(ARGS)

check: style types console contracts security changelog rules ## all that is checked without running the product; -k goes on after a failure

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

console: setup
	$(BIN)/python scripts/console.py check
	$(BIN)/python scripts/console.py test

contracts: setup
	$(BIN)/lint-imports

security: setup
	$(BIN)/bandit -q -c pyproject.toml -r src scripts

changelog: setup
	$(BIN)/towncrier build --draft --version next >/dev/null

rules: setup
	$(BIN)/python -m pytest -q tests/test_shape.py tests/test_exports.py tests/test_repository.py

coverage: setup ## the tests with branch coverage, children included; file by file and per package
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report
	@for package in buvar buvar_aiohttp binp; do \
		printf '%-14s %s %%\n' $$package "$$($(BIN)/coverage report --include="src/$$package/*" --format=total)"; done

bench: setup ## the benchmarks, one after the other; ARGS="--quick --json" is handed to each
	@for script in $(filter-out %/common.py,$(wildcard benchmarks/*.py)); do \
		echo "$$script"; $(BIN)/python $$script $(ARGS) || exit; done

torture: setup ## the long forms of some tests: KILLS=1000 processes killed, CUTS=400 power cuts, STEPS=200000 random steps
	KILLS=$(or $(KILLS),1000) CUTS=$(or $(CUTS),400) MODEL_STEPS=$(or $(STEPS),200000) $(BIN)/python -m pytest -q \
		tests/binp/store/sqlite/test_crash.py tests/binp/store/sqlite/test_power.py tests/binp/store/sqlite/test_model.py $(ARGS)

pictures: setup ## docs/pictures anew: the console showing the quickstart, at two sizes, light and dark
	@chromium=$$(scripts/chromium) && CHROMIUM=$$chromium $(BIN)/python scripts/pictures.py

test-all: ## the tests on every supported Python at hand
	@for python in $$($(ENVIRONMENT) others); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "Python $$version"; \
		PYTHON=$$python $(ENVIRONMENT) dev --venv .venv-$$version || exit; \
		.venv-$$version/bin/python hatch_build.py || exit; \
		.venv-$$version/bin/python $(PYTEST) $(ARGS) || exit; done

lock: ## constraints.txt anew: the newest versions that fit every Python at hand
	@$(ENVIRONMENT) lock
