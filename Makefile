# Six verbs. Each needs only Python 3.11+, make and git: it makes .venv and installs what it uses,
# once, and again only when pyproject.toml changes.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
BACKEND := $(VENV)/backend
PIP    := $(BIN)/python -m pip --disable-pip-version-check -qq
ARGS   ?=
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs backend-check clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.for-demo ## see LLM calls answered from the cache
	@$(BIN)/python -m cachepolicy demo $(ARGS)

test: $(VENV)/.for-test ## run the tests (ARGS="-k name" picks some; WORKERS=0: in one process)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.for-check ## format, lint, types, layers
	@echo "ruff format";           $(BIN)/ruff format --quiet --check --diff .
	@echo "ruff check";            $(BIN)/ruff check --quiet .
	@echo "lint-imports";          $(call quietly,$(BIN)/lint-imports --no-logo)
	@echo "mypy --strict";         $(BIN)/mypy --no-error-summary
	@echo "pyright";               $(call quietly,$(BIN)/pyright --pythonpath $(BIN)/python)
	@echo "pyright --verifytypes"; $(call quietly,$(BIN)/python -m tests.support.public_types)
	@echo "all checks passed"

quietly = $(1) > $(VENV)/log 2>&1 || { cat $(VENV)/log; exit 1; }

bench: $(VENV)/.for-bench ## measure beside the peers; rewrites docs/benchmarks (ARGS="--quick --only TEXT" for a glance)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

docs: $(VENV)/.for-docs ## build the pages into docs/_build
	@$(BIN)/python -m sphinx -W -n --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

backend-check: $(VENV)/.for-test $(BACKEND)/.made ## send traces to a real backend (850 MB), and read them back
	@$(BIN)/python -m tests.backend --phoenix $(BACKEND)/bin/phoenix $(ARGS)

clean: ## remove all that the verbs made
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find cachepolicy tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. `--group` reads [dependency-groups]; it needs a newer pip than Python 3.11 brings.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cachepolicy needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "making $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.for-demo: INSTALL = --editable '.[demo]'
$(VENV)/.for-%:    INSTALL = --editable . --group $*

$(VENV)/.for-%: $(VENV)/.made pyproject.toml
	@echo "installing what make $* needs"
	@$(PIP) install $(INSTALL)
	@touch $@

# The backend's packages have wishes of their own, and so an environment of their own.

$(BACKEND)/.made: $(VENV)/.made pyproject.toml
	@echo "installing what make backend-check needs"
	@test -x $(BACKEND)/bin/python || $(BIN)/python -m venv $(BACKEND)
	@$(BACKEND)/bin/python -m pip --disable-pip-version-check -qq install --upgrade 'pip>=25.1'
	@$(BACKEND)/bin/python -m pip --disable-pip-version-check -qq install --group backend
	@touch $@
