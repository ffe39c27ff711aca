# Every target does its own set-up: a virtual environment, CPU torch and edgewise itself.
#
#   PYTHON=python3.12   the interpreter to build the environment with (3.11 or newer)
#   VENV=.venv          where the environment goes
#   PEERS=.peers       where RecBole's own environment goes (make peers)
#   LIBRARIES=.libraries  where that of implicit and RecTools goes (make peers)
#   RELEASES=.releases  where that of the two papers' releases goes (make releases)
#   ELMREC=FOLDER LLM4REC=FOLDER  checkouts of the releases
#   DATA=FOLDER        the imported data set of make peers; the built-in shop without one
#   TORCH_INDEX=URL     an extra package index for torch; on Linux without a GPU, PyTorch's
#                       index of CPU wheels saves several gigabytes of download

.DEFAULT_GOAL := help
.PHONY: help setup demo serve-demo test check format bench scale peers releases report docs clean

VENV ?= .venv
PEERS ?= .peers
LIBRARIES ?= .libraries
RELEASES ?= .releases
DATA ?=
TORCH_INDEX ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
CANDIDATES := python3.11 python3.12 python3.13 python3
BENCHMARKS := importing large propagation distances attention decoding prompts batch \
    startup one_token t5_training compiled

ifndef PYTHON
PYTHON := $(shell for python in $(CANDIDATES); do \
    if $$python -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then echo $$python; break; fi; done)
endif

help: ## list the targets
	@echo "edgewise: every target installs what it needs into $(VENV) first"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP) ## make the environment and install edgewise with its development tools

demo: $(STAMP) ## train on the built-in shop, evaluate, recommend, explain; report in runs/demo
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/edgewise demo --out runs/demo

serve-demo: $(STAMP) runs/shop-ease/run.json ## the built-in shop with its page at http://127.0.0.1:8000; trains first if need be
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/edgewise serve runs/shop runs/shop-ease --store runs/shop.db

runs/shop/report.html: | $(STAMP)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/edgewise demo --method graph-gpt --out runs/shop

runs/shop-ease/run.json: runs/shop/report.html
	$(BIN)/edgewise fit ease --data runs/shop/data --out runs/shop-ease --force

test: $(STAMP) $(VENV)/.programs ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(STAMP) ## formatting, lint, types, and which folder may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(STAMP) ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## measure speed; writes results/bench/*.json
	@mkdir -p results/bench
	for name in $(BENCHMARKS); do \
	    $(BIN)/python benchmarks/$$name.py --json results/bench/$$name.json || exit 1; done

scale: $(STAMP) ## measure what grows up to a million users; takes hours, 4 GB of memory and 3 GB of disk
	@mkdir -p results/bench
	for part in data lists index; do \
	    $(BIN)/python benchmarks/scale.py $$part --json results/bench/scale_$$part.json || exit 1; done
	$(BIN)/python benchmarks/graph_scale.py --json results/bench/graph_scale.json

releases: $(STAMP) $(RELEASES)/.installed ## the papers' releases beside edgewise: ELMREC=FOLDER or LLM4REC=FOLDER
	@mkdir -p results/bench
	@test -n "$(ELMREC)$(LLM4REC)" || { \
	    echo "name a checkout: make releases ELMREC=FOLDER or LLM4REC=FOLDER" >&2; exit 1; }
	if [ -n "$(ELMREC)" ]; then $(BIN)/python benchmarks/releases/compare.py elmrec $(ELMREC) \
	    --python $(RELEASES)/bin/python --users 8 --their-users 2 --batch 2 \
	    --json results/bench/releases_elmrec.json; fi
	if [ -n "$(LLM4REC)" ]; then $(BIN)/python benchmarks/releases/compare.py llm4rec $(LLM4REC) \
	    --python $(RELEASES)/bin/python --json results/bench/releases_llm4rec.json; fi

peers: $(STAMP) $(PEERS)/.installed $(LIBRARIES)/.installed ## measure RecBole, implicit and RecTools beside edgewise; DATA=FOLDER keeps the figures
	@mkdir -p results/bench
	$(BIN)/python benchmarks/peers/compare.py --recbole $(PEERS)/bin/python \
	    $(if $(DATA),$(DATA) --json results/bench/peers.json,--quick)
	$(BIN)/python benchmarks/peers/evaluation.py --recbole $(PEERS)/bin/python \
	    $(if $(DATA),$(DATA) --json results/bench/evaluation.json,--quick)
	$(BIN)/python benchmarks/peers/accuracy.py --recbole $(PEERS)/bin/python \
	    $(if $(DATA),$(DATA) --json results/bench/peers_accuracy.json,--quick)
	$(BIN)/python benchmarks/peers/libraries.py --python $(LIBRARIES)/bin/python \
	    $(if $(DATA),$(DATA) --json results/bench/libraries.json,--quick)

report: $(STAMP) ## the papers' tables beside ours as one page, runs/report.html
	$(BIN)/edgewise compare elmrec graph-gpt --format html --out runs/report.html

docs: $(DOCS_STAMP) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove the environment and everything that was built; keeps runs/ and results/
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	    echo "edgewise needs Python 3.11 or newer and found none (tried: $(CANDIDATES))." >&2; \
	    echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; fi
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { \
	    echo "edgewise needs Python 3.11 or newer; $(PYTHON) is not." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "Making $(VENV) failed; on Debian and Ubuntu, install python3-venv first." >&2; exit 1; }

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --constraint constraints.txt \
	    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Tests of several hosts start a Redis, tests of the page a browser; without them they are skipped.
$(VENV)/.programs: | $(BIN)/python
	@missing=; for program in redis-server chromium; do \
	    command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
	        --no-install-recommends $$missing; } >/dev/null || true; \
	elif [ -n "$$missing" ]; then \
	    echo "not installed:$$missing; tests that start them are skipped" >&2; fi
	@touch $@

$(PEERS)/.installed: benchmarks/peers/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q \
	    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --requirement $<
	@touch $@

$(RELEASES)/.installed: benchmarks/releases/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv $(RELEASES)
	$(RELEASES)/bin/python -m pip install -q \
	    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --requirement $<
	@touch $@

$(LIBRARIES)/.installed: benchmarks/peers/requirements-libraries.txt | $(BIN)/python
	$(BIN)/python -m venv $(LIBRARIES)
	$(LIBRARIES)/bin/python -m pip install -q --requirement $<
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[docs]'
	@touch $@
