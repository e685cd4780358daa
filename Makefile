# Every target sets up what it needs. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo ui notebooks test torture check format bench bench-accuracy bench-real bench-scaling bench-m5 \
	bench-ledger lock clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(READY) ## set up the environment from the lock file

# The lock names versions and hashes, no registry: pip uses the one that it is configured for.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -d $(VENV) || { echo "Setting up $(VENV) (once, a few minutes)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY) ## simulate a retailer and run everything on it
	@$(BIN)/forecast-assets demo

ui: $(READY) ## open the Dagster UI on the same data: http://127.0.0.1:3000
	@$(BIN)/forecast-assets ui

notebooks: $(READY) ## look at published runs in notebooks (MODE=edit to change them): http://127.0.0.1:2718
	@MARIMO_SKIP_UPDATE_CHECK=1 $(BIN)/marimo $(or $(MODE),run) notebooks --host 127.0.0.1 --port 2718 \
		$(if $(filter edit,$(MODE)),--skip-update-check)

test: $(READY) ## the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile

torture: $(READY) ## the ledger under kills, faults, corruption and crowds, at full length (up to an hour)
	@TORTURE=full $(BIN)/python -m pytest tests/torture -n 2 --dist worksteal -o timeout=7200 --durations=20

check: $(READY) ## lint, types, import direction, definitions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@FORECAST_ASSETS_HOME=$$(mktemp -d) $(BIN)/dg check defs

format: $(READY) ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: bench-ledger bench-real bench-scaling bench-m5 bench-accuracy ## all measurements, one after the other

bench-accuracy: $(READY) ## what models reach beside what they must: accuracy, bias, speed (FAMILIES="...", FULL=1, M5=FOLDER)
	@$(BIN)/python -m bench.accuracy $(if $(FAMILIES),--families $(FAMILIES)) $(if $(FULL),--full) $(if $(M5),--m5 $(M5))

bench-ledger: $(READY) ## measure publishing, reading and opening stores beside the bare libraries
	@$(BIN)/python -m bench.ledger

bench-real: $(READY) ## measure the real-input run beside the bare libraries (needs FreshRetailNet)
	@$(BIN)/python -m bench.real_input $(if $(FAMILY),--family $(FAMILY))

bench-scaling: $(READY) ## measure how a daily run grows with the number of series (needs FreshRetailNet)
	@$(BIN)/python -m bench.scaling

bench-m5: $(READY) ## measure the run at M5's full size, on made-up files (or M5=FOLDER with the files themselves)
	@$(BIN)/python -m bench.m5 $(if $(M5),--folder $(M5))

lock: ## resolve the lock file anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --no-strip-extras --extra dev --upgrade pyproject.toml -o requirements.lock

clean: ## remove the environment; state below var/ stays
	rm -rf $(VENV)
