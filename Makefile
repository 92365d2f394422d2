# Each target makes what it needs first: on a fresh clone `make demo` and `make test` are all there is to type.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

# Unsloth is tried by its tests alone, from a folder of its own: what it declares would bring torchvision and xformers.
UNSLOTH := unsloth==2026.10.9 unsloth_zoo==2026.10.9

.PHONY: install demo test proof check screenshots benchmarks catalogues

install: .venv/.installed

# On a machine with a card, tools/install.py takes the torch build that its driver and card can run.
.venv/.installed: pyproject.toml constraints.txt tools/install.py tools/torch_build.py backend/machine/torch_builds.py
	@test -n "$(PYTHON)" || { echo "finetty needs Python 3.11 or newer; install it and run make again." >&2; exit 2; }
	$(PYTHON) tools/install.py
	@touch $@

.venv/.developed: .venv/.installed
	$(BIN)/python -m pip install --quiet --constraint .venv/constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/unsloth $(UNSLOTH)
	@touch $@

# The demo's model is fetched while installing, so that the tests need no network.
.venv/.demo-model: .venv/.installed
	$(BIN)/python -m finetty.backend.models.demo_model
	@touch $@

demo: install
	$(BIN)/finetty demo

check: .venv/.developed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check .venv/.demo-model
	$(BIN)/python -m pytest -m "not proof" --numprocesses 2 --dist worksteal

proof: .venv/.developed .venv/.demo-model
	$(BIN)/python -m pytest -m proof --numprocesses 2 --dist worksteal

screenshots: .venv/.developed .venv/.demo-model
	$(BIN)/python -m tools.screenshots

benchmarks: .venv/.developed .venv/.demo-model
	$(BIN)/python -m tests.benchmarks

catalogues: .venv/.developed
	$(BIN)/python tools/catalogues.py
