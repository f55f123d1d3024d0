# Each target installs all it needs into .venv; nothing outside of the folder is touched.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Sources of the extension: when one changes, it is compiled again.
CORE := pyproject.toml CMakeLists.txt $(wildcard csrc/*/*.cpp csrc/*/*.hpp csrc/include/tal/*.hpp)

.PHONY: demo test lint bench plan clean

demo: .venv/runtime
	$(BIN)/tal demo run -o out

test: .venv/all
	$(BIN)/python -m pytest

lint: .venv/all
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: .venv/all
	$(BIN)/python benchmarks/first_light.py
	$(BIN)/python benchmarks/bench_core.py
	$(BIN)/python benchmarks/readme.py

# Makes the embedded demonstration model again, from nothing; about an hour on two cores.
plan: .venv/all
	$(BIN)/tal demo make-plan --work out/plan

.venv/runtime: $(CORE)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e '.[cpu,plot]'
	touch $@

.venv/all: $(CORE)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e '.[cpu,plot,train,dev]'
	touch .venv/runtime $@

clean:
	rm -rf .venv build out
