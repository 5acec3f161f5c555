PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test slow gpu figures lint clean

demo: $(READY)
	$(BIN)/cellzoo demo

test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

slow: $(READY)
	$(BIN)/python -m pytest -m slow

# Uses the Python and torch of the machine, as often nothing can be installed on a machine with a GPU.
gpu:
	$(PYTHON) tests/helpers/on_gpu.py --out gpu

# Chart and tables of README.md and docs/speed, from the files that cellzoo bench wrote to docs/speed.
CHART := $(BIN)/cellzoo bench --chart $(patsubst %,docs/speed/%.json,layers bf16 tagger) --out docs/speed/speed.svg
INSERT := sed -i -e '/^<!-- figures -->$$/,/^<!-- end of figures -->$$/{//!d}' -e '/^<!-- figures -->$$/r /dev/stdin'

# README.md has a short table. The second command overwrites the chart with one of all cells.
figures: $(READY)
	$(CHART) --threads 1 --cells lstm,gru,darts-v2,nascell,mingru | $(INSERT) README.md
	$(CHART) | $(INSERT) docs/speed/README.md

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cellzoo needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[nlp,hub,datasets,export,search,dev]'
	@touch $@

clean:
	rm -rf .venv build demo gpu *.egg-info
