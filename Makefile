# make book [TIER=read|smoke|laptop|gpu]   run every study (read: no trial), then build the pages
# make test                          style, types, golden trials and what they cover, tests
# make golden                        record the golden trials anew, once RESULT_VERSION says that results moved
# make parity                        score items by lm-evaluation-harness and here, record both for the tests
# make bench                         speed and memory beside the peers, into results/bench.json
# make bench-tuners                  what each tuner costs in training and in use, into results/bench_tuners.json
# make cluster-test                 the engines on a real SLURM, installed here (Debian, as root), into results/cluster.json
# make course                        assignments for students and for instructors, into _build/course
# make composition                   two halves of a subspace used together, into results/composition.json
TIER ?= laptop
PYTHON ?= python3

# An activated conda environment named lowres is used as it is; anything else gets its own .venv.
ifeq ($(CONDA_DEFAULT_ENV),lowres)
ENV := $(CONDA_PREFIX)
else
ENV := .venv
endif
BIN := $(ENV)/bin
INSTALLED := $(ENV)/.lowres-installed

.PHONY: book test golden parity bench bench-tuners cluster-test composition course clean

book: $(INSTALLED)
	@$(BIN)/lowres book --tier $(TIER)

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy lowres
	$(BIN)/coverage run -m pytest tests/test_golden.py
	$(BIN)/coverage report
	$(BIN)/pytest -n auto --dist loadfile --ignore tests/test_golden.py

# What results are recorded as in tests/golden/, after RESULT_VERSION was raised because they moved.
golden: $(INSTALLED)
	$(BIN)/python -m tests.golden --write

# Minutes to an hour each, on a quiet machine; the peers live in a folder of their own.
parity: $(INSTALLED) .peers/.installed
	PYTHONPATH=.peers HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.parity

bench: $(INSTALLED) .peers/.installed
	PYTHONPATH=.peers HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks

bench-tuners: $(INSTALLED)
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.tuners

cluster-test: $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[cluster]'
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m tests.cluster

composition: $(INSTALLED)
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.composition

course: $(INSTALLED)
	@HF_HUB_OFFLINE=1 $(BIN)/python -m lowres.course.making

.peers/.installed: requirements-peers.txt | $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --upgrade --target .peers --no-deps -r requirements-peers.txt
	@touch $@

# The ledger (_ledger) stays: its records may have taken hours.
clean:
	rm -rf _build .coverage .mypy_cache .pytest_cache .ruff_cache *.egg-info

# The second call leaves out what some packages demand but the book does not use: requirements-nodeps.txt says what.
$(INSTALLED): requirements.txt requirements-nodeps.txt constraints.txt pyproject.toml | $(BIN)/python
	@echo "installing the pinned packages into $(ENV): minutes the first time"
	@$(BIN)/python -m pip install --quiet -r requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -r requirements-nodeps.txt -e .
	@touch $@

# Some systems ship Python without ensurepip; their own pip then fills the new environment.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
	  { echo "lowres needs Python 3.11 to 3.14, but $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo missing); try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv .venv || \
	  { $(PYTHON) -m venv --without-pip .venv && $(PYTHON) -m pip --python .venv/bin/python install --quiet pip; } || \
	  { rm -rf .venv; exit 1; }
