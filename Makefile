# `make demo` and `make test` set up .venv from pyproject.toml and constraints.txt, once, and say nothing when all is well.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: demo test test-rest test-slow interpreter setup lint seeds
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "setting up .venv (about two minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq -c constraints.txt torch
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[deepspeed,espeak,lora,test]'
	@rm -f .venv/.ready-*
	@touch $@

demo: setup
	@OMP_NUM_THREADS=2 $(BIN)/cogrl run configs/pipelines/demo.yaml   # always two: the digits do not depend on the number of cores

# sets of strings are walked through in another order on every run; PYTHONHASHSEED=... make test repeats one
test test-rest test-slow: export PYTHONHASHSEED := $(or $(filter-out random,$(PYTHONHASHSEED)),$(strip $(shell od -An -N4 -tu4 /dev/urandom)))
# two processes share the work; the threads of both would be in each other's way
test test-rest test-slow interpreter: export OMP_NUM_THREADS := 1
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal
CASES ?= sample

test: setup
	@echo "PYTHONHASHSEED=$$PYTHONHASHSEED"
	@$(PYTEST)
	@$(MAKE) -s interpreter

# what `make test` leaves out: the other cases of large products, and the tests of the experiments' scripts
test-rest: setup
	@echo "PYTHONHASHSEED=$$PYTHONHASHSEED"
	@$(PYTEST) --cases rest
	@$(PYTEST) experiments
	@$(MAKE) -s interpreter CASES=rest

# tests of many real processes: ranks, kills, resumed runs, whole pipelines; about half an hour
test-slow: setup
	@echo "PYTHONHASHSEED=$$PYTHONHASHSEED"
	@$(PYTEST) --cases slow

interpreter: setup
	@TRITON_INTERPRET=1 $(PYTEST) --cases $(CASES) tests/interpreter || [ $$? -eq 5 ]   # 5: no Triton, nothing to run

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

seeds: setup
	@$(BIN)/python experiments/demo/run.py
