PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers/.ready
RIVALS := .venv-peers-bakeoff/.ready
CLIENTS := .venv-clients/.ready
SITE := .venv-docs/.ready
AXE := .venv-axe/.ready

# tests start a hundred processes, each of which would compile the package and torch's rarer parts again
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-cluster test-clients check schemas bench bakeoff docs clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(READY)  ## Install everything into .venv

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: setup  ## Five verbs on a small network and real data, and a page that links what they say
	$(BIN)/etastar demo --report out/demo --json out/demo/answer.json

test: setup  ## Run the default tests (two to three minutes)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: setup $(AXE)  ## Run the slow tests: coverage of intervals, kills, a real browser; goes on where a run was cut
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'slow and not gpu and not cluster' -p tools.resumable --resume out/slow-passed

$(AXE): tests/browser/axe.txt
	$(PYTHON) -m venv .venv-axe
	.venv-axe/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/browser/axe.txt
	touch $(AXE)

test-cluster: setup  ## Run the tests that kill a node of a two-node Ray cluster, alone
	$(BIN)/python -m pytest -n 0 -m cluster tests/cluster

test-clients: $(CLIENTS)  ## Run real Lightning and Transformers, in an environment of their own
	.venv-clients/bin/python -m pytest -n 2 --dist worksteal tests/clients

$(CLIENTS): pyproject.toml constraints.txt tests/clients/constraints.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -c tests/clients/constraints.txt -e '.[clients]'
	touch $(CLIENTS)

check: setup  ## Lint, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

schemas: setup  ## Write the JSON schemas of the answers from their types
	$(BIN)/python -m tools.schemas

bench: setup $(if $(filter all sharpness,$(or $(BENCH),all)),$(PEERS))  ## Run every benchmark and write its record (BENCH=name for one)
	$(BIN)/python -m benchmarks.run $(or $(BENCH),all)

$(PEERS): benchmarks/peers/sharpness.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/peers/sharpness.txt
	touch $(PEERS)

$(RIVALS): benchmarks/peers/bakeoff.txt
	$(PYTHON) -m venv .venv-peers-bakeoff
	.venv-peers-bakeoff/bin/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/peers/bakeoff.txt
	touch $(RIVALS)

bakeoff: setup $(if $(SMALL),,$(RIVALS))  ## Everyone recommends a rate for 150 cases; hours, resumable (SMALL=1: a minute)
	$(BIN)/python -m benchmarks.bakeoff $(if $(SMALL),--small)

docs: $(SITE)  ## Build the site into out/site: examples run, warnings are errors, no link is dead
	.venv-docs/bin/python -m tools.site.build

$(SITE): pyproject.toml constraints.txt docs/constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -c docs/constraints.txt -e '.[docs]'
	touch $(SITE)

clean:  ## Remove what was built; the store .etastar stays
	rm -rf .venv .venv-axe .venv-clients .venv-docs docs/generated out dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
