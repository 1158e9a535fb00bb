# Two commands: `make demo` runs the whole pipeline, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install doctor demo test faults mutants up down status dbt-spark dbt-docs dashboard day sync bulk-load bench-landing bench-spark lint lock clean-data clean credentials

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
# Only the environment file of this checkout, if there is one.
-include .env
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
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

faults: install ## the fault tests in full: 60 syncs under concurrent writers, 40 kills, 600 histories of both engines
	@FAULT_SYNCS=$${FAULT_SYNCS:-60} FAULT_KILLS=$${FAULT_KILLS:-40} FAULT_HISTORIES=$${FAULT_HISTORIES:-600} \
	  $(PY) -m pytest tests/airbyte/faults tests/spark_jobs/test_interleavings.py -s $(PYTEST_ARGS)

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

dashboard: install ## build the page from the marts and serve it until Ctrl-C (the stack must be up)
	@$(PY) -m dashboards

day: install ## play one business day in the source
	@$(PY) -m source.day

sync: install ## land what is new in the source, with progress (the stack must be up)
	@$(PY) -m airbyte.connections.jobs sync

bulk-load: install ## fill an empty raw with SCALE's marketplace by load jobs, without a Postgres (the stack must be up)
	@$(PY) -m source.parquet $(BULK_DIR) --scale '$(or $(SCALE),1)' && $(PY) -m airbyte.loaders.bulk $(BULK_DIR)

bench-landing: install ## time landing against its floor (SCALE, default 10); results in benchmarks/results
	@$(PY) -m benchmarks.landing $(if $(SCALE),--scale '$(SCALE)')

bench-spark: install ## time the heavy Spark jobs against their floor and their naive form (SCALE, default 1)
	@$(PY) -m benchmarks.spark_jobs $(if $(SCALE),--scale '$(SCALE)')

credentials: ## the embedded Airbyte server's client id and secret
	@$(STACK) credentials

lint: install ## format, style, types, SQL, and what the dbt project promises about itself
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy stack source airbyte spark_jobs benchmarks dashboards
	$(PY) -m sqlfluff lint dbt/models dbt/tests
	$(PY) -m pytest -q tests/dbt/test_project.py

lock: install ## resolve anew and export requirements/*.txt
	UV_PYTHON=$(PY) .venv/tools/bin/uv lock
	@for group in main airflow emulator tools; do \
	  UV_PYTHON=$(PY) .venv/tools/bin/uv export --quiet --frozen --only-group $$group --no-emit-project --no-header --no-annotate \
	    --format requirements-txt > requirements/$$group.txt; done

clean-data: down ## stop the stack and delete all local data; environments stay
	@if [ -x $(PY) ]; then $(STACK) clean-data; fi

clean: clean-data ## delete everything that make created
	@rm -rf .venv .cache .local uv.lock dbt/target dbt/logs
