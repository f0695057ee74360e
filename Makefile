# `make demo` and `make test` set up .venv from pyproject.toml and constraints.txt, once, and say nothing when all is well.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: demo test setup lint seeds
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "setting up .venv (about two minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq -c constraints.txt torch
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[espeak,lora,test]'
	@rm -f .venv/.ready-*
	@touch $@

demo: setup
	@OMP_NUM_THREADS=1 $(BIN)/cogrl run configs/pipelines/demo.yaml   # one thread: the same digits on every machine size
	@echo; sed -n '/^| split/,/^$$/p' data/lime-mini/CARD.md
	@cat runs/demo/report/report.md
	@echo "Browse the runs, the answers and their audio: $(BIN)/cogrl ui"

test: setup
	@$(BIN)/python -m pytest -q -m "not slow"
	@TRITON_INTERPRET=1 $(BIN)/python -m pytest -q tests/interpreter || [ $$? -eq 5 ]   # 5: no Triton, nothing to run
	@$(BIN)/python -m pytest -q -m slow

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

seeds: setup
	@$(BIN)/python experiments/demo/run.py
