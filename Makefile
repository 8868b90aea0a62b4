# Two commands do everything on a fresh machine: `make run` and `make test`. What there is besides: `make help`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup run test test-all test-oracle test-mpich test-lowest test-wheel test-cuda coverage faults lint clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /make \1:/p' Makefile | awk '{ i = index($$0, ":"); printf "%-18s%s\n", substr($$0, 1, i - 1), substr($$0, i + 1) }'

setup: .venv/dev  ## everything that development needs

run: .venv/run  ## train by SGD, SAM and layer-wise SAM on real images, and compare
	$(BIN)/lwsam compare --preset digits --method sgd,sam,layerwise-sam --seed 0,1,2 --probe --out runs/digits-$$(date +%Y%m%d-%H%M%S)

test: .venv/dev lint  ## what must hold before a commit
	$(BIN)/python -m pytest -n auto -m "not slow and not cuda and not proofs"

test-all: .venv/dev lint  ## with the tests that take longer
	$(BIN)/python -m pytest -n auto -m "not cuda and not proofs"
	$(MAKE) test-oracle
	$(MAKE) test-mpich

test-oracle: .venv/oracle  ## against PyTorch, z3 and PEPit
	$(BIN)/python -m pytest -n auto tests/oracle
	$(BIN)/python -m pytest -n auto -m proofs tests

test-mpich: .venv/dev .venv/mpich/ready  ## the ranks once more: the other tests have Open MPI
	LWSAM_TEST_MPI=$(CURDIR)/.venv/mpich/bin $(BIN)/python -m pytest -n auto tests/parallel tests/training/test_resume.py

test-lowest: .venv/lowest/ready  ## on Python 3.11 with the lowest version of all that the package asks for
	.venv/lowest/bin/python -m pytest -n auto -m "not slow and not cuda"

test-wheel: .venv/python  ## the built wheel in an empty environment, used from an empty folder
	rm -rf build dist .venv/wheel
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv .venv/wheel
	.venv/wheel/bin/pip install --quiet dist/*.whl
	sh scripts/try_wheel.sh $(CURDIR)/.venv/wheel/bin

test-cuda: .venv/dev  ## on a GPU machine: CuPy held to NumPy
	$(BIN)/pip install --quiet -e '.[cuda]'
	$(BIN)/python -m pytest -m cuda tests

coverage: .venv/dev  ## which lines and branches the tests reach; fails below the floor in pyproject.toml
	$(BIN)/python -m pytest -n auto -m "not slow and not cuda and not proofs" --cov --cov-report=term-missing:skip-covered

faults: .venv/dev  ## break the code on purpose and see a test fail, again and again; a part: make faults ONLY=dropout
	$(BIN)/python scripts/mutate.py $(if $(ONLY),--only "$(ONLY)")

lint: .venv/dev  ## style, types, directions of import
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports

clean:  ## remove all that was installed, built and kept; your runs stay
	rm -rf .venv build dist *.egg-info .coverage .coverage.*
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/run: .venv/python pyproject.toml
	$(BIN)/pip install --quiet -e '.[plots]'
	touch $@

.venv/dev: .venv/python pyproject.toml
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@ .venv/run

.venv/mpich/ready: .venv/python pyproject.toml
	$(PYTHON) -m venv .venv/mpich
	.venv/mpich/bin/pip install --quiet -e . 'mpi4py>=4.1' 'mpich>=5'
	touch $@

.venv/lowest/ready: .venv/python pyproject.toml scripts/lowest.py
	$(PYTHON) -m venv --clear .venv/lowest
	$(BIN)/python scripts/lowest.py > .venv/lowest/constraints.txt
	PIP_CONSTRAINT=.venv/lowest/constraints.txt PIP_BUILD_CONSTRAINT=.venv/lowest/constraints.txt \
	  .venv/lowest/bin/pip install --quiet -e '.[dev,proofs]'
	touch $@

.venv/oracle: .venv/dev
	$(BIN)/pip install --quiet -e '.[proofs]' 'torch==2.13.0'  # other releases of torch pull gigabytes of CUDA
	touch $@
