# Everything a person or CI types. `make help` lists it. Needs Python 3.11+ with venv and pip; the rest is installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JUNIT := out/junit
NODE := tests/clients/node
NODE_INSTALLED := $(NODE)/node_modules/.package-lock.json

# What is linted and typed: every folder of ours that exists and holds Python.
CODE := $(wildcard api cli worker pressroom models migrations sandbox tests benchmarks examples tools)

.DEFAULT_GOAL := help
.PHONY: help install demo test node slow lint types contracts drift compose locks docs docs-check check bench lock lock-rivals format clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## install into .venv from the hashed locks; instant when nothing changed

$(INSTALLED): requirements/dev.txt pyproject.toml tools/install.sh
	@tools/install.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(INSTALLED) ## a mixed batch through the whole system, on this machine, with the sandbox
	@$(BIN)/pressroom demo

test: $(INSTALLED) ## the whole test suite but the slow end-to-end tests, against real servers
	@mkdir -p $(JUNIT)
	$(BIN)/pytest -m "not slow" --junitxml=$(JUNIT)/test.xml $(PYTEST_ARGS)

node: $(NODE_INSTALLED) ## OpenAI's packages for Node, which the slow tests call the API with

$(NODE_INSTALLED): $(NODE)/package.json $(NODE)/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' && command -v npm >/dev/null || \
	  { echo "node: Node.js 20 or newer with npm is needed to check OpenAI's Node client and the guides" >&2; exit 3; }
	cd $(NODE) && npm ci
	@touch $@

slow: $(INSTALLED) $(NODE_INSTALLED) ## the slow end-to-end tests; these need Node.js 20+ and npm, too
	@mkdir -p $(JUNIT)
	$(BIN)/pytest -m slow --junitxml=$(JUNIT)/slow.xml $(PYTEST_ARGS)

lint: $(INSTALLED) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## ruff: mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED) ## mypy, strict
	$(BIN)/mypy --strict $(CODE)

contracts: $(INSTALLED) ## which folder may import what (.importlinter)
	$(BIN)/lint-imports

drift: $(INSTALLED) ## models against a database built by the migrations
	$(BIN)/python -m tools.check_drift

compose: $(INSTALLED) ## docker-compose.yml against the compose schema
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

locks: $(INSTALLED) ## the locks against pyproject.toml, without a network
	$(BIN)/python -m tools.check_locks

docs: $(INSTALLED) ## write the generated references in docs/reference anew
	$(BIN)/python -m tools.generate_docs

docs-check: $(INSTALLED) ## the generated references against the code
	$(BIN)/python -m tools.generate_docs --check

check: ## everything CI runs
	bash .ci/run

bench: $(INSTALLED) ## the benchmarks of docs/benchmarks.md
	$(BIN)/python -m benchmarks

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet
lock: $(INSTALLED) ## write the locks anew after a change to pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(LOCK) $(UPGRADE) pyproject.toml --extra sandbox --output-file requirements/runtime.txt
	$(LOCK) $(UPGRADE) --group build --output-file requirements/build.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra local --group dev --output-file requirements/dev.txt

lock-rivals: $(INSTALLED) ## write the locks of what `python -m benchmarks rivals` compares with
	for rival in oaib curator sdk celery litellm; do \
	  $(LOCK) $(UPGRADE) requirements/rivals-$$rival.in --output-file requirements/rivals-$$rival.txt || exit 1; \
	done

clean: ## remove what was installed, built and cached; data in .pressroom stays
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
