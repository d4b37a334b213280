# Every target sets up what it needs: on a fresh machine with Python 3.11+ and make,
# `make run-local` and `make test` are enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONDA_ENV ?= finetune30
# A lock made for a CPU: torch first, so that pip does not look for another build of it.
TORCH := $(shell grep -E '^torch==' requirements.lock)

.DEFAULT_GOAL := help
.PHONY: help setup setup-conda run-local logs-local db-list up worker api ui start-local serve predict-health predict-text predict-positive predict-negative jobs data-validate data-analyze data-versions audit-verify test test-v soak mutants contract axe screenshots check format bench bench-quick bench-serving clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv and install everything (pip, exact versions)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one, or: make setup PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version); a few minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -r requirements.lock -e '.[all,dev]'
	@touch $(READY)

setup-conda: ## Make the conda environment "finetune30" and say which device it found
	@command -v conda >/dev/null 2>&1 || { echo "error: conda is not installed; get it from conda-forge.org (Miniforge), or use: make setup"; exit 2; }
	conda env update --name $(CONDA_ENV) --file environment.yml --prune
	@conda run --name $(CONDA_ENV) finetune30 env | grep '^device:'
	@echo "ready: conda activate $(CONDA_ENV)"

run-local: $(READY) ## Train an adapter here: built-in model and data, no network
	@$(BIN)/finetune30 train config/default.yaml

logs-local: $(READY) ## Follow the log of the newest run
	@$(BIN)/finetune30 runs logs --follow

db-list: $(READY) ## Table of all runs
	@$(BIN)/finetune30 runs list

up: $(READY) ## Start everything on this machine, one log; Ctrl+C ends it: make up concurrency=2
	@$(BIN)/finetune30 up $(if $(concurrency),--concurrency '$(concurrency)')

worker: $(READY) ## Run what waits in the queue: make worker concurrency=2 queues=train
	@$(BIN)/finetune30 worker $(if $(concurrency),--concurrency '$(concurrency)') $(if $(queues),--queues '$(queues)')

api: $(READY) ## Serve the API on port 8000: make api port=8001
	@$(BIN)/finetune30 api $(if $(port),--port '$(port)')

ui: $(READY) ## Serve the web page on port 8501, for the API at API_URL: make ui port=8502
	@$(BIN)/finetune30 ui $(if $(port),--port '$(port)')

start-local: up ## The same as up: API, worker, predictions and the web page at http://localhost:8501

serve: $(READY) ## Serve predictions on port 8002: make serve exp=ID port=8003
	@$(BIN)/finetune30 serve $(if $(exp),--exp '$(exp)') $(if $(port),--port '$(port)')

SERVING ?= http://127.0.0.1:8002
ASK = curl -sS --max-time 60 '$(SERVING)/predict' -H 'Content-Type: application/json' $(if $(TOKEN),-H 'Authorization: Bearer $(TOKEN)') --data-binary @-

predict-health: ## Whether the service answers: a real forward pass
	@curl -sS --max-time 60 '$(SERVING)/health'; echo

predict-text: $(READY) ## Ask the service: make predict-text text='This movie was great!'
	@TEXT='$(subst ','\'',$(text))' $(BIN)/python -c 'import json, os; print(json.dumps({"text": os.environ["TEXT"]}))' | $(ASK); echo

predict-positive: $(READY) ## Ask the service about something good
	@$(MAKE) --no-print-directory predict-text text='This movie was great, I loved every minute of it!'

predict-negative: $(READY) ## Ask the service about something bad
	@$(MAKE) --no-print-directory predict-text text='This movie was terrible, a waste of time.'

jobs: $(READY) ## What runs, what waits in its order, what has ended
	@$(BIN)/finetune30 jobs list

data-validate: $(READY) ## Check the data row by row: make data-validate data=train.csv
	@$(BIN)/finetune30 data validate $(if $(data),'$(data)')

data-analyze: $(READY) ## Labels, lengths, telling words: make data-analyze data=train.csv html=report.html
	@$(BIN)/finetune30 data analyze $(if $(data),'$(data)') $(if $(html),--html '$(html)')

data-versions: $(READY) ## The versions of data that runs used
	@$(BIN)/finetune30 data versions list

audit-verify: $(READY) ## Check that no row of the audit log was changed, added or removed
	@$(BIN)/finetune30 audit verify

# Three files at a time: most of a test is waiting, or one thread. Never one file twice: it may share a server.
test: $(READY) ## Run the tests
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile

test-v: $(READY) ## Run the tests, each by name
	@$(BIN)/python -m pytest -v -n 3 --dist loadfile

soak: $(READY) ## The history test over 20 seeds and 40 trainings by two workers: make soak seeds=20
	@$(BIN)/python -m tests.jobs.soak --seeds $(or $(seeds),20)

mutants: $(READY) ## Seeded bugs: each must turn the tests of jobs red
	@$(BIN)/python -m tests.jobs.mutants

contract: $(READY) ## Schemathesis at length against the API, each role on each database: make contract examples=500
	@$(BIN)/python -m tests.api.contract --examples $(or $(examples),200)

# axe-core judges accessibility; it is Deque's and stays out of the repository. Tests of it are skipped without it.
AXE ?= axe-core@4

axe: node_modules/axe-core/axe.min.js ## Fetch axe-core (npm) for the tests of accessibility

node_modules/axe-core/axe.min.js:
	@command -v npm >/dev/null 2>&1 || { echo "error: npm is not installed; on Debian and Ubuntu: apt-get install npm"; exit 2; }
	@npm install --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error '$(AXE)'

screenshots: $(READY) ## Photograph every page into docs/images: make screenshots pages='run submit'
	@$(BIN)/python -m tests.ui.screenshots $(pages)

check: $(READY) ## Style, types, the law of the house, spelling
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/typos

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: $(READY) ## Benchmarks: ratios against named peers, interleaved; accuracy (an hour)
	@$(BIN)/python -m benchmarks

# LitServe and infinity want versions of their own.
PEERS ?= .venv-peers
$(PEERS)/.ready: | $(READY)
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check 'infinity-emb[torch,server]' litserve
	@touch $@

bench-serving: $(READY) $(PEERS)/.ready ## Serving beside transformers.pipeline, LitServe, infinity-emb (ten minutes): make bench-serving quick=1
	@FINETUNE30_PEERS='$(abspath $(PEERS))/bin/python' $(BIN)/python -m benchmarks serving $(if $(quick),--quick)

bench-quick: $(READY) ## The training benchmark in three minutes, without accuracy
	@$(BIN)/finetune30 bench training --quick

clean: ## Remove the environment and caches; results and data stay
	rm -rf $(VENV) $(PEERS) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
