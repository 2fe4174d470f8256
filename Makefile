# Everything a developer types. `make demo` and `make test` do their own set-up on a fresh machine.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Two libraries would each start a thread per core for arrays of a few thousand rows.
export OMP_NUM_THREADS := 1
export NUMBA_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test oncall-test lint format schemas metrics-doc alerts dashboards kafka models bench detection public-eval chaos soak lock clean

help: ## what there is to type
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## the virtual environment, from the lock file

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "boostwatch needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1); say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up $(VENV) (once, a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "compiling the loops into their caches (once, a minute or two)"
	@$(BIN)/python -m streams.warmup
	@touch $@

demo: $(STAMP) ## the whole system on this machine: ARGS="--seconds 90 --seed 7"
	@$(BIN)/boostwatch demo $(ARGS)

test: $(STAMP) ## the whole suite, two tests at a time; ARGS="-k watermark" narrows it
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup $(ARGS)

oncall-test: $(STAMP) ## the drills that take minutes: faults that page and the runbook's way out, a full disk, ten million names
	@$(BIN)/python -m pytest tests/integration/*_drills.py $(ARGS)

lint: $(STAMP) ## ruff, its formatter and mypy, all strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/boostwatch schemas --check

format: $(STAMP) ## put the code in the house's form
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

schemas: $(STAMP) ## write the published schemas from the code's own types
	@$(BIN)/boostwatch schemas

metrics-doc: $(STAMP) ## write deploy/metrics.md from the code
	@$(BIN)/python -m streams.metrics_table

alerts: ## write Prometheus's rules: ARGS="--set runbooks=https://wiki.example/alerts.md --set watermark_lag_s=600"
	@$(PYTHON) deploy/prometheus/render.py $(ARGS)

dashboards: ## write Grafana's dashboards from deploy/grafana/build.py
	@$(PYTHON) -m deploy.grafana.build

kafka: ## a real one-node Kafka in the foreground, without Docker (needs Java 17 and Maven): ARGS="--port 9092"
	@$(PYTHON) deploy/kafka/broker.py run $(ARGS)

models: $(STAMP) ## the shipped weights, thresholds and rhythms, from simulated traffic (about an hour)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m streams.models $(ARGS)

bench: $(STAMP) ## one worker beside what others offer, latency, growth: ARGS="--quick", "--growth", "--help"
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: $(STAMP) ## faults at random moments, and whether anything was lost or done twice: ARGS="--minutes 20 --seed 1"
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: $(STAMP) ## half load for as long as you like, and whether memory stays where it is: ARGS="--minutes 120"
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

detection: $(STAMP) ## recall and false flags on simulated families that nothing was fitted on: ARGS="--report out.html"
	@$(BIN)/python -m streams.evaluation.detection $(ARGS)

public-eval: $(STAMP) ## figures on public data beside the published ones (BOOSTWATCH_PUBLIC_DATA): ARGS="nab darpa"
	@$(BIN)/python -m streams.evaluation.public $(ARGS)

lock: ## renew requirements.lock and the image's deploy/requirements.lock from pyproject.toml (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
	  --no-emit-index-url --output-file requirements.lock pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --extra image --generate-hashes --no-header \
	  --no-emit-index-url --constraint requirements.lock --output-file deploy/requirements.lock pyproject.toml

clean: ## forget the environment and every cache of this tree
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
