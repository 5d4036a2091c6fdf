# Everything runs in .venv, made from python3, pip and the files of this project.
# Another Python: make PYTHON=python3.12

PYTHON ?= python3
WORKERS ?= 2
# `make test` ends itself after this many seconds: it hangs. In a fresh clone it compiles all loops
# first (a minute or two); after that it takes under eight minutes on two quiet cores.
TEST_SECONDS ?= 900

BIN := .venv/bin
READY := .venv/.installed
# One thread per worker: the workers are what keeps the cores busy.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all bench bench-check pictures check fix clean clean-all

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Make .venv and install tm2tf into it

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tm2tf needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@echo "Installing into .venv; torch is large, this may take minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(READY)  ## Compile, look into, run and verify bundled machines
	@rm -rf build/bb4 && mkdir -p build
	$(BIN)/tm2tf machines
	$(BIN)/tm2tf compile bb4 -o build/bb4
	$(BIN)/tm2tf inspect bb4
	$(BIN)/tm2tf run binary-increment --input 1011
	$(BIN)/tm2tf diagram binary-increment --input 1011
	$(BIN)/tm2tf view bb4 -o build/bb4.html
	$(BIN)/tm2tf verify bb4 binary-increment palindrome
	$(BIN)/tm2tf run bb5

test: $(READY)  ## Run the tests, without the slow ones
	$(PYTEST) --session-timeout $(TEST_SECONDS)

test-all: $(READY)  ## Run all tests
	$(PYTEST) -m "" --timeout 3600

bench: $(READY)  ## Measure everything and write docs/benchmarks.md (some minutes)
	$(BIN)/tm2tf bench --write docs/benchmarks.md

# What depends least on what else a machine is doing: ratios and slopes, never times.
bench-check: $(READY)  ## Measure quickly; fail where a ratio is far from its goal
	$(BIN)/tm2tf bench one-stream blocks verify growth-rules growth-space --quick --check

pictures: $(READY)  ## Draw the pictures of docs/ again
	$(BIN)/tm2tf diagram bb5 -o docs/images/bb5.png
	$(BIN)/tm2tf graph palindrome-2tape --program -o docs/images/program.png
	$(BIN)/tm2tf plot attention palindrome-2tape --input 1001 -o docs/images/attention.png
	$(BIN)/python -m pytest -q tests/test_view_browser.py -k bb4
	cp build/screenshots/bb4-step-60.png docs/images/page.png

check: $(READY)  ## Lint, format, types, order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fix: $(READY)  ## Format, and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what builds and tools leave behind
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

clean-all: clean  ## Remove .venv too
	rm -rf .venv
