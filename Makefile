# Each target sets up what it needs in .venv; PYTHON=python3.12 chooses another Python.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-slow lint oracles mutants notebooks docs bench

help:
	@echo "make demo       train, measure, draw, export and serve on embedded data"
	@echo "make test       layers, core, the command line, every app's contract"
	@echo "make test-slow  other processes for every app, XLA, what takes minutes;"
	@echo "                APPS=captioning,char_lm of these apps only"
	@echo "make lint       style"
	@echo "make oracles    our layers against torch, torchcrf, onnx, onnxruntime and OpenCV"
	@echo "make mutants    small faults put in one at a time; the tests must notice each"
	@echo "make notebooks  run the notebooks and keep their outputs"
	@echo "make docs       the documentation, as docs/_build/html/index.html"
	@echo "make bench      the measured figures of benchmarks/"

demo: $(VENV)/.base
	rm -rf demo
	$(BIN)/saccade demo captioning --out demo --to saved_models

# Two workers, each takes one group of tests after the other: see tests/groups.py.
WORKERS := -n 2 --dist loadgroup

# Five sessions: TensorFlow gives back what it compiled only when its process ends.
test: $(VENV)/.test
	$(BIN)/pytest -m "not oracle and not slow" $(WORKERS) tests/layers tests/foreign
	$(BIN)/pytest -m "not oracle and not slow" $(WORKERS) tests/apps/core
	$(BIN)/pytest -m "not oracle and not slow" $(WORKERS) --half 1 --trained keep tests/apps --ignore tests/apps/core
	$(BIN)/pytest -m "not oracle and not slow" $(WORKERS) --half 2 --trained keep tests/apps --ignore tests/apps/core
	$(BIN)/pytest -m "not oracle and not slow" $(WORKERS) --trained take --ignore tests/layers --ignore tests/foreign --ignore tests/apps

# Three, because XLA's programs stay until then.
SLOW := -m "slow and not oracle" $(WORKERS) --trained take $(if $(APPS),--apps $(APPS))
OTHERS := tests/serving/test_client.py tests/test_benchmarks.py \
	tests/test_translation_benchmarks.py
test-slow: $(VENV)/.test
	$(BIN)/pytest $(SLOW) --ignore tests/layers $(OTHERS:%=--ignore %)
	$(BIN)/pytest $(SLOW) tests/layers
	$(BIN)/pytest $(SLOW) $(OTHERS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

oracles: $(VENV)/.oracle
	SACCADE_REQUIRE_ORACLES=1 $(BIN)/pytest -m oracle tests/foreign

mutants: $(VENV)/.test
	$(BIN)/python tests/mutants.py

notebooks: $(VENV)/.test
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace notebooks/*.ipynb

# Warnings are errors, a link to nothing among them.
docs: $(VENV)/.docs
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/sphinx-build --fresh-env --write-all --fail-on-warning \
		--keep-going --quiet docs docs/_build/html

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/timing.py
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/layers.py
	$(BIN)/python benchmarks/crf.py --json benchmarks/results/crf.json
	$(BIN)/python benchmarks/translation_speed.py --json benchmarks/results/translation_speed.json
	$(BIN)/python benchmarks/language.py
	$(BIN)/python benchmarks/first_step.py
	$(BIN)/python benchmarks/windows.py
	$(BIN)/python benchmarks/agreement.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/input.py
	$(BIN)/python benchmarks/fixed_length.py
	$(BIN)/python benchmarks/digits.py --data tfds:mnist
	$(BIN)/python benchmarks/glimpse.py
	$(BIN)/python benchmarks/draw.py speed

# A stamp per extra: installed again only when setup.cfg or the pins change.
$(VENV)/.base: setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.test $(VENV)/.oracle $(VENV)/.docs $(VENV)/.bench: $(VENV)/.%: $(VENV)/.base
	$(PIP) --editable ".[$*]"
	touch $@
