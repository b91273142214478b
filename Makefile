# Each target first sets up .venv as far as necessary; that is skipped if nothing has changed since.
# Needs Python 3.11, 3.12 or 3.13 (the newest found is used; PYTHON=/path/to/python chooses one) and a package index.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
export PYTHON

python := .venv/bin/python
installed := .venv/installed
installed_test := .venv/installed-test
installed_bench := .venv/installed-bench
set_up := setup.cfg pyproject.toml requirements.txt scripts/set_up.sh scripts/find_python.sh
code := tuning demo_faces search_spaces tests stress benchmarks
demo_root := demo-workspace

.PHONY: help demo test stress bench bench-strategies docs lint format wheel lock clean

help:
	@echo "make demo    set up, then find a CNN for synthetic faces, in $(demo_root)/"
	@echo "make test    set up, then run the tests (ARGS='-k name' for some of them)"
	@echo "make stress  set up, then kill searches, fail disks, break a Ray cluster, run the long tests (ARGS='--searches 2' for less)"
	@echo "make bench   set up, then measure speed, on an idle machine (ARGS='step search' for some parts, ARGS=--full)"
	@echo "make bench-strategies  set up, then compare strategies on known learning curves (ARGS='--seeds 1')"
	@echo "make docs    set up, then render docs/ into build/docs"
	@echo "make lint    set up, then check style, format and types"
	@echo "make format  set up, then correct style and format"
	@echo "make wheel   set up, then build the wheel and try it in an empty environment (ARGS=--reuse for a quick look)"
	@echo "make lock    set up, then write the exact versions of all packages to requirements.lock"
	@echo "make clean   remove .venv and what the tools left; workspaces stay"

demo: $(installed)
	$(python) -m tuning.demo --root $(demo_root)
	$(python) -m tuning.prepare --root $(demo_root)
	$(python) -m tuning.search --root $(demo_root) --strategy hyperband --max-epochs 18 --min-epochs 2 --top-k 2 --no-starting-points

test: $(installed_test)
	bash scripts/test.sh $(ARGS)

stress: $(installed_test)
	$(python) -m stress $(ARGS)
	$(python) -m pytest -q --long

bench: $(installed_test)
	$(python) -m benchmarks $(ARGS)

bench-strategies: $(installed_bench)
	$(python) -m benchmarks.strategies $(ARGS)

docs: $(installed)
	$(python) -m pip install -q -e '.[docs]'
	$(python) -m mkdocs build --strict

lint: $(installed_test)
	$(python) -m ruff check $(code)
	$(python) -m ruff format --check $(code)
	$(python) -m mypy

format: $(installed_test)
	$(python) -m ruff check --fix $(code)
	$(python) -m ruff format $(code)

wheel: $(installed_test)
	bash scripts/check_wheel.sh $(ARGS)

lock: $(installed_test)
	bash scripts/lock.sh

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage htmlcov
	find . -name '*.egg-info' -prune -exec rm -rf {} +
	find $(code) -name __pycache__ -prune -exec rm -rf {} +

$(installed): $(set_up)
	bash scripts/set_up.sh
	@touch $@

$(installed_bench): $(set_up)
	bash scripts/set_up.sh bench
	@touch $(installed) $@

# The test extra includes the rest: `make demo` after `make test` has nothing left to install.
$(installed_test): $(set_up)
	bash scripts/set_up.sh test
	@touch $(installed) $@
