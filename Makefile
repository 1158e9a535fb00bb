# Two commands: `make demo` runs the whole pipeline, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install doctor demo test faults mutants up down status dbt-spark dbt-docs dashboard day sync bulk-load bench plots bench-landing bench-spark lint lock clean-data clean credentials docs audit hooks compose-env compose-up compose-demo compose-down compose-clean compose-test

PY := .venv/main/bin/python
STACK := $(PY) -m stack
# What a user may set; empty means the default.
SCALE ?=
ENGINE ?=
SOURCE_SQL ?=
SOURCE_DSN ?=
# Files of tests that run at once.
WORKERS ?= 2
# Where bulk-load keeps its Parquet files.
BULK_DIR ?= .local/bulk/scale-$(or $(SCALE),1)
export SOURCE_DSN
# The environment file of this checkout, if there is one.
ENV_FILE ?= .env
-include $(ENV_FILE)
export

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
	@echo; echo 'demo options: SCALE=0.1|1|10|100  ENGINE=auto|dbt|spark  SOURCE_SQL=dir  SOURCE_DSN=postgresql://…'

install: ## make the environments (demo and test do it by themselves)
	@python3 stack/bootstrap.py

doctor: ## what is missing on this machine, and how to get it
	@python3 stack/bootstrap.py --check

demo: install ## the whole pipeline on the embedded stack, with a summary
	@$(STACK) demo $(if $(SCALE),--scale '$(SCALE)') $(if $(ENGINE),--engine '$(ENGINE)') $(if $(SOURCE_SQL),--source-sql '$(SOURCE_SQL)')

test: install ## every test, the whole pipeline included
	@python3 stack/bootstrap.py --also docs
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

faults: install ## the fault tests in full: 60 syncs under concurrent writers, 40 kills, 600 histories of both engines and of incremental dbt, dbt on Spark in full, a foreign source's business day, every fault of every task
	@FAULT_SYNCS=$${FAULT_SYNCS:-60} FAULT_KILLS=$${FAULT_KILLS:-40} FAULT_HISTORIES=$${FAULT_HISTORIES:-600} FAULT_TASKS=$${FAULT_TASKS:-all} \
	  $(PY) -m pytest tests/airbyte/faults tests/spark_jobs/test_interleavings.py tests/dbt/test_incremental.py tests/dbt/test_spark.py tests/e2e/test_foreign_source.py tests/e2e/faults -s $(PYTEST_ARGS)

mutants: install ## plant mistakes in the dbt project: a test must notice each (MUTANTS="--only ID --jobs 2")
	@$(PY) -m tests.dbt.mutation $(MUTANTS)

up: install ## start the embedded stack
	@$(STACK) up

down: ## stop what this checkout started
	@if [ -x $(PY) ]; then $(STACK) down; fi

status: ## what runs, and how the last run went
	@$(STACK) status

dbt-spark: install ## build and test the whole dbt project on Spark and Delta, from what a run landed in raw
	@$(PY) -m stack.dbt build --target spark

dbt-docs: install ## the dbt project's pages, as one HTML file, of the tables as they are (the stack must be up)
	@$(PY) -m stack.dbt docs

docs: install ## build the documentation site, offline and strict, and say where it is
	@python3 stack/bootstrap.py --also docs
	@$(PY) -m website

dashboard: install ## build the page from the marts and serve it until Ctrl-C (the stack must be up)
	@$(PY) -m dashboards

day: install ## play one business day in the source
	@$(PY) -m source.day

sync: install ## land what is new in the source, with progress (the stack must be up)
	@$(PY) -m airbyte.connections.jobs sync

bulk-load: install ## fill an empty raw with SCALE's marketplace by load jobs, without a Postgres (the stack must be up)
	@$(PY) -m source.parquet $(BULK_DIR) --scale '$(or $(SCALE),1)' && $(PY) -m airbyte.loaders.bulk $(BULK_DIR)

bench: install ## the heavy jobs in Spark, DuckDB, Polars and Sail, the same rows demanded (SCALE, default 1; REPEAT, MEMORY)
	@python3 stack/bootstrap.py --also bench
	@$(PY) -m benchmarks.peers --scale '$(or $(SCALE),1)' --repeat '$(or $(REPEAT),3)' $(if $(MEMORY),--memory-limit '$(MEMORY)')

plots: install ## the cost model, the figures and the numbers of docs/benchmarks.md, anew from benchmarks/results
	@python3 stack/bootstrap.py --also bench
	@$(PY) -m benchmarks.cost_model
	@.venv/bench/bin/python -m benchmarks.plots
	@$(PY) -m benchmarks.page

bench-landing: install ## time landing against its floor (SCALE, default 10); results in benchmarks/results
	@$(PY) -m benchmarks.landing $(if $(SCALE),--scale '$(SCALE)')

bench-spark: install ## time the heavy Spark jobs against their floor and their naive form (SCALE, default 1)
	@$(PY) -m benchmarks.spark_jobs $(if $(SCALE),--scale '$(SCALE)')

credentials: ## the embedded Airbyte server's client id and secret
	@$(STACK) credentials

# Docker's own Compose where it is, else the older program.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

compose-env: ## put random secrets for the containers into .env, once
	@python3 stack/compose_env.py

compose-up: compose-env ## build and start the whole stack in containers (docs/containers.md)
	@$(COMPOSE) build bigquery airbyte airflow && $(COMPOSE) up --detach && $(COMPOSE) ps

compose-demo: ## what `make demo` does, in the containers that run (SCALE, ENGINE)
	@$(COMPOSE) run --rm pipeline stack demo --no-start $(if $(SCALE),--scale '$(SCALE)') $(if $(ENGINE),--engine '$(ENGINE)')

compose-down: ## stop the containers; their data stays
	@$(COMPOSE) down

compose-clean: ## stop the containers and delete their data
	@$(COMPOSE) down --volumes --remove-orphans

compose-test: install ## build, run and compare the containers for real, on an engine of its own if none answers
	@$(PY) -m pytest tests/compose/containers.py -s -x $(PYTEST_ARGS)

lint: install ## format, style, types, SQL, and what the dbt project promises about itself
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy stack source airbyte spark_jobs benchmarks dashboards website
	$(PY) -m sqlfluff lint dbt/models dbt/tests
	$(PY) -m pytest -q tests/dbt/test_project.py

hooks: install ## check every commit before it is made (.pre-commit-config.yaml)
	@python3 stack/bootstrap.py --also dev
	@.venv/dev/bin/pre-commit install

audit: install ## look every locked package up among the known vulnerabilities (needs the advisory service)
	@python3 stack/bootstrap.py --also dev
	@$(PY) -m stack.audit

lock: install ## resolve anew and export requirements/*.txt
	UV_PYTHON=$(PY) .venv/tools/bin/uv lock
	@for group in main airflow emulator tools docs dev; do \
	  UV_PYTHON=$(PY) .venv/tools/bin/uv export --quiet --frozen --only-group $$group --no-emit-project --no-header --no-annotate \
	    --format requirements-txt --output-file requirements/$$group.txt > /dev/null || exit 1; done
	.venv/tools/bin/uv pip compile --quiet --no-config --python $(PY) --upgrade --generate-hashes --no-header --no-annotate \
	  --constraint requirements/main.txt requirements/bench.in --output-file requirements/bench.txt

clean-data: down ## stop the stack and delete all local data; environments stay
	@if [ -x $(PY) ]; then $(STACK) clean-data; fi

clean: clean-data ## delete everything that make created
	@rm -rf .venv .cache .local uv.lock dbt/target dbt/logs
