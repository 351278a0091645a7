# Everything runs from one virtual environment; only python3.11, make and pip are needed. Modules are compiled
# when they are first imported: most never are, and pip would compile all of them on one core.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TESTED := $(VENV)/.ready-test
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable
export AIRFLOW_HOME ?= $(CURDIR)/build/airflow
export AIRFLOW__CORE__LOAD_EXAMPLES = False

.PHONY: setup setup-test demo ui stop test test-fast cases lint house types imports bench bench-data bench-schemas bench-skew bench-canary bench-validation bench-decisions bench-monitoring bench-promotions bench-triggerer lease-drill chaos chaos-people clean

setup: $(READY)
setup-test: $(TESTED)

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) (a minute)"
	@$(INSTALL) '.[demo]'
	@touch $@

# What tests need comes with what the demo needs: other engines, linters.
$(TESTED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV) with what the tests need (two minutes)"
	@$(INSTALL) '.[test]'
	@touch $(READY) $@

demo: setup
	@$(BIN)/python -m airflow_mlops.demo run

ui: setup
	@$(BIN)/python -m airflow_mlops.demo ui

stop:
	@if test -x $(BIN)/python; then $(BIN)/python -m airflow_mlops.demo stop; fi

# Tests bring support modules and DAGs of their own, and use what only the extra `test` has.
lint: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/deptry airflow_mlops
	$(BIN)/deptry tests tests/support tests/integration/dags --ignore DEP002,DEP004
	$(BIN)/pytest tests/house --quiet

# The house in figures; `make house CHECKOUT=../before` those of another one.
house:
	@$(PYTHON) tests/house/figures.py $(CHECKOUT)

types: setup-test
	$(BIN)/mypy

imports: setup-test
	$(BIN)/lint-imports --no-logo

# About half of the time that tests of servers take.
FIRST := tests/browser tests/contracts $(wildcard tests/integration/*/test_[a-l]*.py)

# Simulations that wait until the unit tests are through, so that all streams take about as long.
LATER := tests/unit/core/validation/test_simulation.py

# Each stream has half a core: threads of linear algebra would only wait for each other.
test: export OPENBLAS_NUM_THREADS = 1

# What CI runs, in streams that share the cores: simulations need no server, the tests of servers mostly wait for them
# and have deadlines, so they go first where both want a core.
test: lint types imports
	@mkdir -p build
	@$(BIN)/pytest -m integration $(FIRST) > build/integration.log 2>&1 & first=$$!; \
	$(BIN)/pytest -m integration $(FIRST:%=--ignore=%) > build/servers.log 2>&1 & second=$$!; \
	nice $(BIN)/pytest -m "slow and not integration" $(LATER:%=--ignore=%) > build/slow.log 2>&1 & slow=$$!; \
	nice $(BIN)/coverage run -m pytest -m "not slow and not integration"; failed=$$?; \
	nice $(BIN)/pytest -m "slow and not integration" $(LATER) || failed=1; \
	for stream in $$first $$second $$slow; do wait $$stream || failed=1; done; \
	cat build/servers.log build/integration.log build/slow.log; exit $$failed
	$(BIN)/coverage report --fail-under=85
	$(BIN)/coverage report --include='airflow_mlops/core/*' --fail-under=97

test-fast: setup-test
	$(BIN)/pytest tests/unit tests/dags -m "not slow and not integration"

# Inputs that once came out wrong: one line a case, with its right answer.
cases: setup-test
	@PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/tests/support:$(CURDIR) $(BIN)/python -m cases

bench: setup-test
	@for file in benchmarks/bench_*.py benchmarks/schemas/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-data: setup-test
	@for name in data peers expectations pushdown; do $(BIN)/python benchmarks/bench_$$name.py || exit 1; done

bench-schemas: setup-test
	@$(BIN)/python benchmarks/schemas/bench_schemas.py

bench-skew: setup-test
	@for name in skew skew_ahead; do $(BIN)/python benchmarks/bench_$$name.py || exit 1; done

bench-canary: setup-test
	@$(BIN)/python benchmarks/bench_canary.py

bench-validation: setup-test
	@$(BIN)/python benchmarks/bench_validation.py

bench-decisions: setup-test
	@$(BIN)/python benchmarks/bench_decisions.py

bench-monitoring: setup-test
	@$(BIN)/python benchmarks/bench_monitoring.py

bench-promotions: setup-test
	@$(BIN)/python benchmarks/bench_promotions.py

bench-triggerer: setup-test
	@$(BIN)/python benchmarks/bench_triggerer.py

# Airflow is killed in a canary step and stays away for longer than the lease: what happens, with times.
lease-drill: setup-test
	@$(BIN)/pytest tests/integration/rollout/test_lease_drill.py --quiet --capture=no --no-header

# Kills what takes part in rollouts, at every step; about ten minutes. `make chaos KILLS=8` is a short version.
KILLS ?= 46
SEED  ?= 20261121
chaos: setup-test
	@PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/tests/support:$(CURDIR) $(BIN)/python -m chaos --kills $(KILLS) --seed $(SEED)

# What people do to rollouts, at every step, with Airflow alive and killed; about forty minutes. `ACTIONS=8` is short.
ACTIONS ?= 60
chaos-people: setup-test
	@PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/tests/support:$(CURDIR) $(BIN)/python -m people --actions $(ACTIONS) --seed $(SEED)

clean: stop
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
