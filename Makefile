# Two commands set everything up: `make demo` and `make test`. Nothing but Python 3.11+, git and make is needed.

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
SPARK := .venv-spark
READY := $(VENV)/.ready
SPARK_READY := $(SPARK)/.ready
CATE := .venv-cate
CATE_READY := $(CATE)/.ready
MODELS := .venv-models
MODELS_READY := $(MODELS)/.ready
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
# Tests wait for processes that they start: three workers keep two cores busy.
WORKERS ?= 3
FAST := $(addprefix tests/,assignment decisions diagnostics evaluation metrics reference reports spec stats test_house.py)
# What takes long there runs in `make test`.
LONG := $(addprefix --ignore=tests/stats/,bayes resampling sequential)
# Python keeps what it compiled: without it every process compiles pandas and ibis anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint check test-slow test-spark test-models test-cate bench docs dist lock format clean help

help:
	@echo "demo        run a real experiment from spec to verdict"
	@echo "test        the test suite (what needs Java, Node or Chromium is skipped, with the reason)"
	@echo "lint        format, lint, types and floors"
	@echo "check       format, lint, types, floors and the fast tests"
	@echo "test-slow   calibration and other long checks"
	@echo "test-spark  the engine contract on a local Spark (needs Java 17+)"
	@echo "test-models the gateway before real model servers (MLServer, in an environment of its own)"
	@echo "test-cate   effects by many features with econml, bandits beside mabwiser (in an environment of their own)"
	@echo "bench       the benchmarks"
	@echo "docs        build the documentation into site/"
	@echo "dist        build the wheel and run the demo from it, outside the checkout"
	@echo "lock        renew the lock files"
	@echo "format      format the code"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("fairtrial needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $(READY)

$(SPARK_READY): requirements-spark.lock pyproject.toml $(READY)
	$(PYTHON) -m venv $(SPARK)
	$(BIN)/uv pip install --quiet --python $(SPARK)/bin/python --require-hashes -r requirements-spark.lock
	$(BIN)/uv pip install --quiet --python $(SPARK)/bin/python --no-deps --no-build-isolation -e .
	@touch $(SPARK_READY)

$(CATE_READY): requirements-cate.lock pyproject.toml $(READY)
	$(PYTHON) -m venv $(CATE)
	$(BIN)/uv pip install --quiet --python $(CATE)/bin/python --require-hashes -r requirements-cate.lock
	$(BIN)/uv pip install --quiet --python $(CATE)/bin/python --no-deps --no-build-isolation -e .
	@touch $(CATE_READY)

$(MODELS_READY): requirements-models.lock $(READY)
	$(PYTHON) -m venv $(MODELS)
	$(BIN)/uv pip install --quiet --python $(MODELS)/bin/python --require-hashes -r requirements-models.lock
	@touch $(MODELS_READY)

demo: $(READY)
	@$(BIN)/fairtrial quickstart

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not spark and not models and not cate"

lint: $(READY)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/basedpyright
	$(BIN)/lint-imports

check: lint
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m "not slow and not spark and not models and not cate and not browser" $(LONG) $(FAST)

test-slow: $(READY) $(CATE_READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m "slow and not cate"
	$(CATE)/bin/python -m pytest -n $(WORKERS) -m "slow and cate" tests/analysis

test-spark: $(SPARK_READY)
	$(SPARK)/bin/python -m pytest -m spark tests/warehouse tests/docs/test_pages.py

test-models: $(MODELS_READY)
	$(BIN)/python -m pytest -m models tests/gateway

test-cate: $(CATE_READY)
	$(CATE)/bin/python -m pytest -m "cate and not slow" tests/analysis tests/bandits tests/docs/test_pages.py

bench: $(READY)
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/bootstrap.py
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/assignment.py
	$(BIN)/python benchmarks/interactions.py
	$(BIN)/python benchmarks/service.py
	$(BIN)/python benchmarks/gateway.py
	$(BIN)/python benchmarks/dashboard.py

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

dist: $(READY)
	rm -rf dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python
	$(BIN)/python tests/run_wheel.py dist/*.whl

lock: $(READY)
	$(COMPILE) --extra postgres --extra service --extra reports --extra dashboard --group dev pyproject.toml -o requirements.lock
	$(COMPILE) --extra postgres --extra service --extra spark --group test pyproject.toml -c requirements.lock -o requirements-spark.lock
	$(COMPILE) --extra postgres --extra service --extra cate --group test --group oracle pyproject.toml -c requirements.lock -o requirements-cate.lock
	$(COMPILE) requirements-models.in -o requirements-models.lock

format: $(READY)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

clean:
	rm -rf $(VENV) $(SPARK) $(MODELS) $(CATE) build dist site .pytest_cache .ruff_cache .hypothesis fairtrial-quickstart
