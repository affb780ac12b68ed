# Every target installs what it needs into .venv first, in a moment when nothing changed.
# ARGS is handed on:    make demo ARGS="--help"    make test ARGS="-k permissions"
# PYTHON chooses the interpreter for a new .venv:    make test PYTHON=python3.12

.DEFAULT_GOAL := help
.PHONY: help demo run test check format bench docs lock clean local dev
.PHONY: cluster-up cluster-down cluster-load cluster-check test-cluster test-cluster-if-possible servers bench-cluster
PYTHON ?=
ARGS ?=
export PYTHON
CLUSTER = python=$$(scripts/find-python) && PYTHONPATH=tests/cluster $$python -m kind

help: ## Print this list
	@echo "Usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

demo: local ## Run a short queue of simulated plans and watch it
	@.venv/bin/python -m queueserver_cli.demo $(ARGS)

run: local ## Start a manager with the simulated profile (Ctrl-C ends it)
	@.venv/bin/start-re-manager --zmq-publish-console ON $(ARGS)

test: check servers ## Run the checks and all tests; those in a Kubernetes where the machine can run one
	.venv/bin/python -m pytest -n auto --dist loadfile tests/unit tests/contract tests/faults $(ARGS)
ifeq ($(ARGS),)
	@$(MAKE) --no-print-directory test-cluster-if-possible
endif

test-cluster-if-possible:
	@if [ "$$CLUSTER_TESTS" = required ] || { $(CLUSTER) check; }; then \
		$(MAKE) --no-print-directory test-cluster; \
	else \
		echo "The tests in tests/cluster were left out; all others passed."; \
	fi

servers: ## Get what tests need to be real (PostgreSQL, slapd, Kubernetes' API server, Chromium)
	@$(CLUSTER) servers

check: dev ## Check style, format, types and import rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: dev ## Format the code and mend what the style check can mend
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: dev ## Measure speed and memory beside upstream's server
	.venv/bin/python -m benchmarks $(ARGS)

cluster-up: ## Bring up a Kubernetes for tests with the images of this tree (ARGS="--workers 0" for one node)
	@$(CLUSTER) up $(ARGS)

cluster-load: ## Build the images of this tree and bring them into that cluster
	@$(CLUSTER) load $(ARGS)

cluster-down: ## Delete that cluster
	@$(CLUSTER) down $(ARGS)

cluster-check: ## Say whether this machine can run a cluster for tests
	@$(CLUSTER) check

test-cluster: dev ## Run the tests that need a cluster, in the one that cluster-up makes
	@$(CLUSTER) up
	.venv/bin/python scripts/cluster_tests.py $(ARGS)

bench-cluster: dev ## Measure opening, closing and memory in the cluster that cluster-up makes
	@$(CLUSTER) up
	PYTHONPATH=tests/support:tests/cluster .venv/bin/python -m benchmarks.cluster $(ARGS)

docs: dev ## Write the pages of the reference anew from the code
	@.venv/bin/python scripts/reference.py

lock: ## Write requirements/ anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@python=$$(scripts/find-python) && $$python scripts/lock.py $(ARGS)

clean: ## Remove .venv, caches and built files
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

local dev:
	@python=$$(scripts/find-python) && $$python scripts/environment.py $@
