# Every target sets up what it needs. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the product needs to run, and besides it what tests, tools and notebooks need.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
# uv where there is one, else pip; `make UV= ...` takes pip in any case.
UV ?= $(shell command -v uv 2> /dev/null)
# Libraries are compiled when they are first imported, into $(VENV). Where a machine's setting forbids to keep that, every
# process would compile them again: 25 s of it, and as much for each process that tests start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo ui serve up mlflow notebooks test torture soak fire-drill check format bench bench-accuracy bench-real bench-scaling bench-m5 \
	bench-ledger bench-demo bench-paths bench-evidence bench-drift bench-anomalies bench-score bench-what-if bench-serving bench-outbox bench-stream bench-telemetry bench-bi lock clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(READY) ## set up the environment to run in, from the lock file

install-dev: $(READY_DEV) ## the same with tests, tools and notebooks; targets that need them do so by themselves

# Locks name versions and hashes, no registry: uv and pip each use the one that they are configured for. What is
# imported is compiled when it first is; compiling everything takes longer than the rest.
# An environment that uv made has no pip yet.
by_pip = { $(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip > /dev/null; } && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps $(1)
ifneq ($(UV),)
new_environment = $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV) || $(PYTHON) -m venv $(VENV)
# uv does not read pip's configuration: where only pip knows the registry, pip goes on.
install = $(UV) pip install --quiet --python $(BIN)/python --no-deps $(1) || \
	{ echo "uv could not install this; going on with pip" && $(call by_pip,$(1)); }
else
new_environment = $(PYTHON) -m venv $(VENV)
install = $(by_pip)
endif

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -d $(VENV) || { echo "Setting up $(VENV) with $(if $(UV),uv,pip) (once)"; $(new_environment); }
	@$(call install,--require-hashes -r requirements.lock)
	@$(call install,--no-build-isolation -e .)
	@touch $(READY)

$(READY_DEV): $(READY) requirements-dev.lock
	@echo "Adding tests and tools to $(VENV) (once)"
	@$(call install,--require-hashes -r requirements-dev.lock)
	@touch $(READY_DEV)

demo: $(READY) ## simulate a retailer and run everything on it
	@$(BIN)/forecast-assets demo

ui: $(READY) ## open the Dagster UI on the same data: http://127.0.0.1:3000
	@$(BIN)/forecast-assets ui

serve: $(READY) ## answer over HTTP on the same data, with calls to try: http://127.0.0.1:8000
	@$(BIN)/forecast-assets runs | grep -q stat-1 || $(BIN)/forecast-assets demo
	@$(BIN)/forecast-assets serve --examples

up: $(READY_DEV) ## all processes of one machine: API behind a balancer, Dagster; what dies is started again, Ctrl-C stops all
	@PATH="$(CURDIR)/$(BIN):$$PATH" deploy/up.sh

# All of MLflow needs an older pyarrow than the product: it has an environment of its own, of the same release.
MLFLOW_UI := $(VENV)-mlflow
# Superset needs an older SQLAlchemy and pandas: likewise.
SUPERSET := $(VENV)-superset
MLFLOW_RELEASE = $(shell sed -n 's/^mlflow-skinny==\([0-9.]*\).*/\1/p' requirements.lock)

$(MLFLOW_UI)/.ready: requirements.lock
	@echo "Setting up $(MLFLOW_UI) with MLflow's UI (once, 0.9 GB)"
	@test -d $(MLFLOW_UI) || $(PYTHON) -m venv $(MLFLOW_UI)
	@$(if $(UV),$(UV) pip install --quiet --python $(MLFLOW_UI)/bin/python,$(MLFLOW_UI)/bin/python -m pip install --quiet \
		--disable-pip-version-check) "mlflow==$(MLFLOW_RELEASE)" "psycopg[binary]" boto3
	@touch $@

mlflow: $(READY) $(MLFLOW_UI)/.ready ## open MLflow's UI on the model versions: http://127.0.0.1:5000 (PORT=5001 for another one)
	@MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		$(MLFLOW_UI)/bin/mlflow server --host 127.0.0.1 --port $(or $(PORT),5000) \
		--workers 1 --backend-store-uri "$$($(BIN)/forecast-assets mlflow where)"

notebooks: $(READY_DEV) ## look at published runs in notebooks (MODE=edit to change them): http://127.0.0.1:2718
	@MARIMO_SKIP_UPDATE_CHECK=1 $(BIN)/marimo $(or $(MODE),run) notebooks --host 127.0.0.1 --port 2718 \
		$(if $(filter edit,$(MODE)),--skip-update-check)

test: $(READY_DEV) ## the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile

torture: $(READY_DEV) ## the ledger under kills, faults, corruption and crowds, at full length (up to an hour)
	@TORTURE=full $(BIN)/python -m pytest tests/torture tests/serving/rpc/test_same_questions.py tests/serving/stream/test_same_questions.py \
		tests/serving/api/test_openapi_contract.py tests/serving/api/test_broken_requests.py -n 2 --dist worksteal -o timeout=7200 --durations=20

fire-drill: $(READY_DEV) ## inject faults one by one: is each told within a minute, explained, mended and over? (20 minutes)
	@$(BIN)/python -m tests.torture.fire_drill

soak: $(READY_DEV) ## the life of model versions over 200 days, from training to rollback, on a simulated retailer
	@SOAK=full $(BIN)/python -m pytest tests/soak -n 0 -o timeout=0 --durations=5

check: $(READY_DEV) ## lint, types, import direction, definitions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@FORECAST_ASSETS_HOME=$$(mktemp -d) $(BIN)/dg check defs

format: $(READY_DEV) ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: bench-demo bench-score bench-what-if bench-serving bench-outbox bench-stream bench-telemetry bench-ledger bench-real bench-scaling bench-m5 bench-paths bench-evidence bench-drift bench-anomalies bench-accuracy ## all measurements, one after the other

bench-accuracy: $(READY_DEV) ## what models reach beside what they must: accuracy, bias, speed (FAMILIES="...", FULL=1, M5=FOLDER)
	@$(BIN)/python -m bench.accuracy $(if $(FAMILIES),--families $(FAMILIES)) $(if $(FULL),--full) $(if $(M5),--m5 $(M5))

bench-paths: $(READY_DEV) ## how sure sums are said to be, and were, by sample paths; exit code 1 if independent sums do better
	@$(BIN)/python -m bench.sample_paths

bench-evidence: $(READY_DEV) ## how often a challenger that is no better is promoted, and how soon a better one (needs FreshRetailNet)
	@$(BIN)/python -m bench.evidence

bench-drift: $(READY_DEV) ## how often drift is told though nothing drifts, and how soon changes and broken feeds are
	@$(BIN)/python -m bench.drift

bench-anomalies: $(READY_DEV) ## which detector finds faults planted in feeds, at one rate of false alarms; exit code 1 if a goal is missed
	@$(BIN)/python -m bench.feature_anomalies

bench-score: $(READY_DEV) ## measure scoring tables of features beside a ten-line script (ROWS=1000000); exit code 1 if a goal is missed
	@$(BIN)/python -m bench.score $(if $(ROWS),--rows $(ROWS))

bench-what-if: $(READY_DEV) ## measure what-if answers beside bare calls and whole runs; exit code 1 if a goal is missed
	@$(BIN)/python -m bench.what_if

bench-serving: $(READY_DEV) ## measure the service under load at 50,000 series (SOAK=10 minutes more); exit code 1 if a goal is missed (needs FreshRetailNet)
	@$(BIN)/python -m bench.serving $(if $(SOAK),--soak $(SOAK))

bench-telemetry: $(READY_DEV) ## measure what traces and figures cost a run and an answer, on and off in turns; exit code 1 if a goal is missed
	@$(BIN)/python -m bench.telemetry

bench-stream: $(READY_DEV) ## measure requests, deaths and a million records through a broker (HOME_FOLDER=... for runs that are there); exit code 1 if a goal is missed (needs FreshRetailNet)
	@$(BIN)/python -m bench.stream $(if $(HOME_FOLDER),--home $(HOME_FOLDER))

bench-bi: $(READY_DEV) ## Apache Superset on a copy of the same data, while a revision is published; exit code 1 if a chart differs (SERVE=1 to look)
	@$(BIN)/python -m bench.superset --publish --environment $(SUPERSET) $(if $(SERVE),--serve)

bench-outbox: $(READY_DEV) ## measure telling others 10,000 ledger entries beside the bare library; exit code 1 if the goal is missed
	@$(BIN)/python -m bench.outbox

bench-ledger: $(READY_DEV) ## measure publishing, reading and opening stores beside the bare libraries
	@$(BIN)/python -m bench.ledger

bench-real: $(READY_DEV) ## measure the real-input run beside the bare libraries (needs FreshRetailNet)
	@$(BIN)/python -m bench.real_input $(if $(FAMILY),--family $(FAMILY))

bench-scaling: $(READY_DEV) ## measure how a daily run grows with the number of series (needs FreshRetailNet)
	@$(BIN)/python -m bench.scaling

bench-m5: $(READY_DEV) ## measure the run at M5's full size, on made-up files (or M5=FOLDER with the files themselves)
	@$(BIN)/python -m bench.m5 $(if $(M5),--folder $(M5))

bench-demo: $(READY_DEV) ## measure the demonstration, beside a fixed job that is run just before
	@$(BIN)/python -m bench.demo

resolve = uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --no-strip-extras pyproject.toml $(1)

lock: ## resolve the lock files anew (needs uv)
	$(call resolve,--upgrade --extra build --extra notebooks --extra bench --extra postgresql --extra s3 --extra redis --extra kafka --extra otlp --extra supervisor --extra dev -o requirements-dev.lock)
	@# What runs is a part of that: uv keeps the versions of a file that it writes anew.
	cp requirements-dev.lock requirements.lock
	$(call resolve,--extra build -o requirements.lock)
	@# Of images: what services of deploy/ need besides, and no tools.
	cp requirements-dev.lock requirements-deploy.lock
	$(call resolve,--extra build --extra postgresql --extra s3 --extra redis --extra kafka --extra otlp --extra deploy -o requirements-deploy.lock)

clean: ## remove the environment; state below var/ stays
	rm -rf $(VENV) $(MLFLOW_UI) $(SUPERSET)
