# Everything here works from a clean clone: an environment is made in .venv, and what is needed comes from PyPI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without a shell around it, so that a signal to make reaches pytest, which stops what it started.
DEMO = $(BIN)/pytest suites/concurrency_sweep --gpu=mocker --dynperf-baselines=$(VENV)/demo-baselines
# Tests of a file stay together, because they share what is deployed; long files come first, as they stand in the tree.
TEST_PROCESSES ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test long images engines check format calibrate docs wheel clean help

help:
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 16

demo: export CONCURRENCIES ?= 1,4,8
demo: $(VENV)/.demo ## measure a real Dynamo on this machine, accept the result, measure again, judge (no GPU needed)
	@echo "1. Measure, and accept the result into a temporary store"
	@rm -rf $(VENV)/demo-baselines
	@$(DEMO) --update-baselines
	@echo
	@echo "2. Measure again, and judge against it"
	@$(DEMO) -v
	@rm -rf $(VENV)/demo-baselines

test: $(VENV)/.dev ## run the tests, the real Dynamo stack among them
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 5 -m "not long"

long: $(VENV)/.dev ## run what `make test` leaves out: more of the real engine on the CPU (needs `make engines`)
	$(BIN)/python -m pytest tests/system -m long

images: $(VENV)/.dev ## make the container images of the tests in the running engine (a minute; no registry)
	$(BIN)/python -m tests.images build

engines: $(VENV)/.dev ## install a real engine for the CPU: Dynamo before vLLM, LMCache, a tiny model (4.5 GB, 4 to 15 minutes, once)
	$(BIN)/dynperf engines install cpu

check: $(VENV)/.dev ## lint, types, import contracts, workflows, news fragments
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/lint_workflows.py
	$(BIN)/python -m towncrier build --draft --version 0.0.0 >/dev/null

format: $(VENV)/.dev ## format the code and sort what can be sorted
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

calibrate: $(VENV)/.dev ## simulate the decision rule: false alarms, power, runs (ten minutes on one core)
	$(BIN)/python -m benchmarks.judgement --write benchmarks/judgement/tables

docs: $(VENV)/.dev ## build the documentation as a site into build/site; a broken link is an error
	$(BIN)/python docs/site.py

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "Python 3.11 or 3.12 is needed (ai-dynamo has no wheel for others); found: $$($(PYTHON) --version). Try: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras, renewed when pyproject.toml changes.
$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the plugin and the Dynamo stack into $(VENV) (about 700 MB, a minute or two) ..."
	$(BIN)/python -m pip install --quiet --editable ".[mocker,xdist]"
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the plugin, its tools and the Dynamo stack into $(VENV) (about 900 MB, a minute or two) ..."
	$(BIN)/python -m pip install --quiet --editable ".[dev,mocker]"
	@touch $@ $(VENV)/.demo
