# Every task is one command; each sets up what it needs, once.
PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt
BUILD  := pyproject.toml constraints.txt CMakeLists.txt $(shell find kernels -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt)

# Said once, after an install: what is slower without the extension.
SAY_BACKEND := $(BIN)/python -c "from fastinv.kernels import available_backends as b; n = b()['native']; n.available or print('note:', n.detail + '; Numba serves instead: same results, slower MMD and samplers. See: fastinv doctor')"

# cmake is among the development tools; a bare machine has none.
WITH_CMAKE := PATH="$(abspath $(BIN)):$$PATH"

# Where bytecode is not kept, every process that a test starts compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help bench bench-check bench-baseline bench-peers bench-gpu bench-scaling test test-slow warnings coverage sanitize lint format types docs dist without-compiler build clean

help: ## list the tasks
	@grep -E '^[a-z-]+:.*##' Makefile | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BUILD) | $(BIN)/python
	@echo "Installing fastinv into $(VENV) (minutes on a bare machine, once) ..."
	@$(PIP) --editable .
	@$(SAY_BACKEND)
	@touch $@

$(VENV)/.developing: $(BUILD) | $(BIN)/python
	@echo "Installing fastinv and its development tools into $(VENV) (minutes on a bare machine, once) ..."
	@$(PIP) --editable '.[dev]'
	@$(SAY_BACKEND)
	@touch $@ $(VENV)/.installed

bench: $(VENV)/.installed ## benchmark the models on inverse kinematics (ARGS="--problem all ..." for more)
	@$(BIN)/fastinv bench --problem kinematics $(ARGS)

# Files in order of their names: sorted by numbers of tests, the few long ones would come last and alone.
test: lint types ## lint, types and tests: what has to pass before a change lands
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(VENV)/.developing ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 3600 $(ARGS)

bench-check: $(VENV)/.developing ## has anything become slower? compares with this machine class's baseline
	@$(BIN)/python bench/check.py $(ARGS)

bench-baseline: $(VENV)/.developing ## add runs to that baseline (minutes each; ARGS="--runs 2", --fresh to drop the old ones)
	@$(BIN)/python bench/check.py --update $(ARGS)

MMD_TASKS := --task gaussian --task 'gaussian with gradients' --task paper
bench-peers: $(VENV)/.developing ## MMD, posteriors and flows beside other libraries, into bench/results (many minutes)
	@$(PIP) --editable '.[peers]'
	@$(BIN)/python bench/mmd_cpu.py $(MMD_TASKS) --batch 50 --rounds 1 > /dev/null
	$(BIN)/python bench/mmd_cpu.py $(MMD_TASKS) --output bench/results/mmd_cpu
	$(BIN)/python bench/posterior_peers.py --output bench/results/posterior_peers
	$(BIN)/python bench/flow_peers.py --output bench/results/flow_peers

bench-gpu: $(VENV)/.installed ## checks and times kernels, training steps and modes on a CUDA machine, into bench/results (minutes)
	$(BIN)/python bench/gpu_kernels.py --output bench/results/gpu_kernels.json
	$(BIN)/python bench/gpu_training.py --output bench/results/gpu_training
	$(BIN)/python bench/gpu_models.py --output bench/results/gpu_models

bench-scaling: $(VENV)/.developing ## how times grow with sizes and threads, beside the machine's limits (many minutes)
	$(BIN)/python bench/mmd_scaling.py --output bench/results/mmd_scaling
	$(BIN)/python bench/sampling_scaling.py --output bench/results/sampling_scaling

warnings: $(VENV)/.developing ## the C++ compiled with -Wall -Wextra -Wpedantic as errors
	$(WITH_CMAKE) $(BIN)/python tests/compiler_warnings.py $(ARGS)

coverage: $(VENV)/.developing ## branch coverage of every room (many minutes)
	$(BIN)/python tests/coverage_by_room.py $(ARGS)

sanitize: $(VENV)/.developing ## odd arrays through the C++ under AddressSanitizer and UBSan
	$(WITH_CMAKE) $(BIN)/python tests/kernels/sanitize.py $(ARGS)

lint: $(VENV)/.developing ## style, formatting, the direction of imports and the workflows' form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/lint-imports --cache-dir .import_linter_cache

types: $(VENV)/.developing ## static types
	$(BIN)/mypy

format: $(VENV)/.developing ## format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.developing ## the documentation's pages, into build/site; warnings are errors
	$(BIN)/mkdocs build --strict

dist: $(VENV)/.developing ## source distribution and wheel, tried in an empty environment
	$(BIN)/python tests/wheel.py $(ARGS)

without-compiler: $(VENV)/.developing ## the same with a compiler that fails: no extension, Numba serves
	$(BIN)/python tests/wheel.py --without-compiler --output build/without-compiler $(ARGS)

build: $(VENV)/.developing ## rebuild the C++ extension now
	$(PIP) --editable . && touch $(VENV)/.installed $(VENV)/.developing

clean: ## remove environments, builds and caches (runs/ stays)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find fastinv kernels tests bench -name __pycache__ -prune -exec rm -rf {} +
