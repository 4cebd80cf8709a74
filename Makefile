# Two targets do everything on a machine with Python 3.11+, git and make:
#   make demo    a town at work, in a temporary directory
#   make test    every check and every test
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# So many processes share the tests; most of them wait for other processes most of the time.
PROCESSES ?= auto
# `make test EXTRAS=test,browser` tests the dashboard too, in the Chromium of the machine.
EXTRAS ?= test

.PHONY: demo test check test-long test-api conformance bench diagrams clean

demo: $(VENV)/.installed
	@$(BIN)/tt demo

test: check
	$(BIN)/pytest -m "not long" -n $(PROCESSES)
	$(MAKE) test-api API_SECONDS=60 API_OPTIONS="--seed 1"

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What takes minutes: deeper property tests and longer fault injection.
test-long: $(VENV)/.tested
	$(BIN)/pytest -m long

# The API beside its own description, by schemathesis: so long with no failure. It wants packages that ours do not
# agree with, so it has an environment of its own.
API_SECONDS ?= 600
SCHEMATHESIS = $(VENV)-schemathesis
SCHEMATHESIS_VERSION = 4.32.5

test-api: $(VENV)/.tested $(SCHEMATHESIS)/.$(SCHEMATHESIS_VERSION)
	$(BIN)/python tests/web/contract/run.py $(SCHEMATHESIS)/bin/st $(API_SECONDS) $(API_OPTIONS)

$(SCHEMATHESIS)/.$(SCHEMATHESIS_VERSION):
	$(PYTHON) -m venv $(SCHEMATHESIS)
	$(SCHEMATHESIS)/bin/python -m pip install --quiet --disable-pip-version-check schemathesis==$(SCHEMATHESIS_VERSION)
	@touch $@

# The official suite of the Model Context Protocol; it fetches Node and itself, once.
conformance: $(VENV)/.tested
	$(BIN)/python tests/web/mcp_conformance.py build/conformance

bench: $(VENV)/.tested
	for each in connection listings mailbox mcp_server missions runtime startup townhall; do $(BIN)/python bench/$$each.py || exit 1; done

diagrams: $(VENV)/.installed
	$(BIN)/python docs/make_diagrams.py
	$(BIN)/python docs/make_configuration.py
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_openapi.py

# WHEEL, where given, is installed instead of this tree: that is how CI tests what users get.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(WHEEL),$(WHEEL),--editable .)
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(WHEEL),"$(WHEEL)[$(EXTRAS)]",--editable ".[$(EXTRAS)]")
	@touch $@

clean:
	rm -rf $(VENV) $(SCHEMATHESIS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
