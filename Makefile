# Two commands matter: `make demo` (set up and say what happens in a video) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One thread a process: two test processes with two threads each collapse on a two-core machine.
export OMP_NUM_THREADS ?= 1
# Hundreds of processes start while tests run; each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
# Processes that test side by side; a file's tests stay together. A test that hangs is ended.
JOBS ?= 2
SIDE_BY_SIDE := -n $(JOBS) --dist loadfile

.PHONY: demo test test-all check format clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(STAMP)

setup: $(STAMP)

# make demo                                  renders clips of people and says what they do
# make demo VIDEO=mine.mp4 LABELS="a, b, c"  the same for a real file
demo: $(STAMP)
ifdef VIDEO
	$(BIN)/actionclip classify "$(VIDEO)" --labels "$(LABELS)" --model tiny
else
	$(BIN)/actionclip demo
endif

test: $(STAMP)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --timeout 300 -m "not slow"

test-all: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo dist build
