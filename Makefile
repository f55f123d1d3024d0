# Each target installs all it needs into .venv; nothing outside of the folder is touched.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Sources of the extension: when one changes, it is compiled again.
CORE := pyproject.toml CMakeLists.txt $(wildcard csrc/bindings/* csrc/src/* csrc/include/tal/*)
# The C++ tests are built once plainly and once for each of these.
SANITIZERS := address,undefined,float-cast-overflow thread
# Tests of what users run, which need neither torch nor onnx: `make oldest` runs them on the oldest allowed versions.
OLDEST_TESTS := tests/integration/test_cli.py tests/integration/test_engine.py tests/unit/metrics/test_eval.py \
  tests/unit/video/test_video.py tests/unit/video/test_video_formats.py tests/unit/video/test_pixels.py \
  tests/unit/plan/test_plan.py tests/unit/outputs/test_sinks.py tests/unit/core/test_ops.py
# Files whose spelling is checked.
SPELLED := Makefile '*.c' '*.cpp' '*.h' '*.hpp' '*.md' '*.py' '*.sh' '*.toml' '*.yaml' '*.yml'
# Processes that test: one more than cores, as some tests wait for cameras and children.
WORKERS ?= $(shell expr $$(nproc) + 1)
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 60

.PHONY: demo test oldest lint docs release-check lock bench plan people sanitize fuzz clean

# A rendered video, and a real clip of the shared data where it is there.
demo: .venv/runtime
	$(BIN)/tal demo run -o out --overwrite --video $(or $(TAL_SHARED),../shared)/data/videos/v_GGSY1Qvo990.mp4

test: .venv/all
	$(BIN)/python -m pytest -n $(WORKERS)

# What old versions call is deprecated in what they need, which is new: such warnings are no errors here.
oldest: .venv-oldest/done
	.venv-oldest/bin/python -m pytest -n auto -W ignore::DeprecationWarning $(OLDEST_TESTS)

lint: .venv/all
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	git ls-files -z $(SPELLED) | xargs -0 $(BIN)/codespell

# The documentation as a site in out/site; a broken link is an error.
docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/all
	$(BIN)/python -m mkdocs build --quiet -f docs/site/mkdocs.yml

# Source archive and wheel as a release would have them, tried from an empty folder; EXTRAS=--extras tries each extra alone.
release-check: .venv/all
	$(INSTALL) '.[release]'
	$(BIN)/python benchmarks/release_check.py $(EXTRAS)

# Versions that the public CI installs: those of .venv, with which the tests passed here. From 3.11.5 on, as pymdown-extensions asks.
lock: .venv/all
	$(INSTALL) 'uv>=0.5'
	$(BIN)/python -m pip freeze --exclude-editable > .venv/freeze.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11.5 --extra all --constraints .venv/freeze.txt \
	  --no-header --no-annotate -o .github/requirements.txt pyproject.toml

bench: .venv/all
	$(BIN)/python benchmarks/first_light.py
	$(BIN)/python benchmarks/bench_accuracy.py
	$(BIN)/python benchmarks/bench_methods.py
	$(BIN)/python benchmarks/bench_features.py
	$(BIN)/python benchmarks/bench_core.py
	$(BIN)/python benchmarks/bench_gold.py
	$(BIN)/python benchmarks/bench_export.py
	$(BIN)/python benchmarks/bench_tensorrt.py
	$(BIN)/python benchmarks/bench_stream.py
	$(BIN)/python benchmarks/readme.py
	$(BIN)/python benchmarks/cards.py --pictures

# The C++ tests. Neither Python nor .venv is needed; its cmake is taken where there is no other.
sanitize: export PATH := $(PATH):$(CURDIR)/$(BIN)
sanitize:
	for flags in '' $(SANITIZERS); do \
	  folder=build/tests-$$(echo $${flags:-plain} | cut -d, -f1); \
	  cmake -S . -B $$folder -DTAL_TESTS=ON -DTAL_WERROR=ON -DTAL_SANITIZE=$$flags && cmake --build $$folder --parallel 2 && \
	  ctest --test-dir $$folder --output-on-failure || exit 1; \
	done

# The core under libFuzzer, the parsers and the bindings under atheris; new inputs go to out/fuzz.
fuzz: export PATH := $(PATH):$(CURDIR)/$(BIN)
fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS)

# Makes the embedded demonstration model again, from nothing; about two hours on two cores.
plan: .venv/all
	$(BIN)/tal demo make-plan --work out/plan

# Makes the plan for people again, from nothing but CMU's motion files; a quarter of an hour on two cores.
people: .venv/all
	$(BIN)/python -m tal_engine.export.people_plan --motion ../shared/data/motion --work out/people

.venv/runtime: $(CORE)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e '.[cpu,plot]'
	touch $@

.venv/all: $(CORE)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e '.[all]'
	touch .venv/runtime $@

# The lower bounds of pyproject.toml, each at its oldest version; what they need in turn is at its newest.
.venv-oldest/done: $(CORE)
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	.venv-oldest/bin/uv pip compile --quiet --resolution lowest-direct --extra cpu --extra plot --extra stream \
	  --python .venv-oldest/bin/python -o .venv-oldest/bounds.txt pyproject.toml
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python -r .venv-oldest/bounds.txt \
	  pytest pytest-xdist hypothesis jsonschema scipy onnx
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --no-deps \
	  --config-setting build-dir=build/oldest -e .
	touch $@

.venv/fuzz: .venv/all
	$(INSTALL) 'atheris>=3.0'
	touch $@

clean:
	rm -rf .venv .venv-oldest build out
