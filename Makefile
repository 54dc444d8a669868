# The front door. What a target needs, it builds: each works first thing on a fresh clone.

VENV := .venv
BIN := $(VENV)/bin
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
# WITH=bigquery, WITH=dashboard or both: the extras of pyproject.toml that not everybody needs.
WITH :=
EXTRAS := bigquery dashboard
ifneq ($(filter-out $(EXTRAS),$(WITH)),)
$(error WITH=$(WITH): choose from $(EXTRAS))
endif

# The first Python of a version that dbt supports. A name on the PATH may be a shim of another one.
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	"$$name" -c '$(IS_SUPPORTED)' 2>/dev/null && echo "$$name" && break; done)
endif

.PHONY: help install demo demo-clean docs test check first-ten-minutes bench chaos fuzz audit \
	constraints clean

help:
	@echo 'make install      the environment in $(VENV) (WITH=bigquery: that warehouse too)'
	@echo 'make demo         two generated months of green and yellow: loaded, merged, tested'
	@echo 'make demo-clean   stop and remove the demo'
	@echo 'make docs         dbt docs of the demo, one page: target/static_index.html'
	@echo 'make check        lint, types and the tests that need no server: for every commit'
	@echo 'make test         make check, then dbt and Python tests on Postgres and on emulators of BigQuery'
	@echo 'make first-ten-minutes   the demo and the README in a fresh clone, as a new user types them'
	@echo 'make bench        compare with the replaced flow and the limit: ROWS=7700000 MONTHS=24, any size'
	@echo 'make chaos        kill loads and builds at random moments (ROUNDS=200 SEED=1), and compare'
	@echo 'make fuzz         ROUNDS malformed files (SEED) through the loader: refused, or loaded right'
	@echo 'make audit        known vulnerabilities of what is installed, by asking PyPI'
	@echo 'make constraints  pin the newest versions that pyproject.toml allows'
	@echo 'make clean        stop the embedded servers; remove them, their data and $(VENV)'

comma := ,
empty :=
space := $(empty) $(empty)
# A stamp for each set of extras: pip runs again only when what it reads has changed.
installed = $(VENV)/installed-$(or $(subst $(space),-,$(sort $(1))),base)

install: $(call installed,$(WITH))

$(VENV)/installed-%: extras = $(subst -,$(comma),$(filter-out base,$*))
$(VENV)/installed-%: pyproject.toml constraints.txt $(BIN)/python
	@echo 'installing nyc-tlc$(if $(extras),[$(extras)])'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt \
		--editable '.$(if $(extras),[$(extras)])'
	@touch $@

$(BIN)/python:
	@$(if $(PYTHON),,echo 'Python 3.11$(comma) 3.12 or 3.13 is needed: install one$(comma) or give its path: make PYTHON=/path/to/python' >&2; exit 1)
	@$(PYTHON) -c '$(IS_SUPPORTED)' || \
		{ echo 'PYTHON=$(PYTHON): Python 3.11$(comma) 3.12 or 3.13 is needed' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

demo: install
	@$(IN_VENV) scripts/demo

demo-clean: install
	@TLC_LOCAL_DIR=.local/demo $(BIN)/nyc-tlc postgres stop
	rm -rf .local/demo

docs: demo
	@TLC_TARGET=local TLC_LOCAL_DIR=.local/demo $(BIN)/nyc-tlc dbt docs generate --static

test: $(call installed,dev)
	@$(IN_VENV) scripts/test

check: $(call installed,dev)
	@$(IN_VENV) scripts/check

first-ten-minutes: install
	@$(BIN)/python tests/first_ten_minutes.py

# The size of a quick look: minutes. A full one takes an hour and 60 GB.
ROWS ?= 1000000
MONTHS ?= 3
REPEATS ?= 3
THEIRS ?= 13
PEERS := .local/bench/venv
bench: install $(PEERS)/installed
	@$(IN_VENV) python -m benchmarks --rows $(ROWS) --months $(MONTHS) --theirs $(THEIRS) \
		--repeats $(REPEATS) --peers $(PEERS)/bin/python

# The constraints name all that is compared with.
$(PEERS)/installed: benchmarks/constraints.txt $(BIN)/python
	$(BIN)/python -m venv $(PEERS)
	@echo 'installing what ours is compared with'
	@$(PEERS)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --requirement $<
	@touch $@

# Of chaos and fuzz: how many rounds, and the seed of the first.
ROUNDS ?= 200
SEED ?= 1
chaos: $(call installed,dev)
	@$(IN_VENV) python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED)

fuzz: ROUNDS = 5000
fuzz: $(call installed,dev)
	@$(IN_VENV) python -m tests.security.fuzz --rounds $(ROUNDS) --seed $(SEED)

audit: $(call installed,audit)
	@$(BIN)/pip-audit --local --progress-spinner off

UV_COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --no-annotate \
	--custom-compile-command 'make constraints'
constraints: $(BIN)/python
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv
	$(UV_COMPILE) pyproject.toml --all-extras --python-version 3.11 -o constraints.txt
	$(UV_COMPILE) --group emulator --python-version 3.13 -o tests/emulator/constraints.txt
	$(UV_COMPILE) --group bench --python-version 3.11 -o benchmarks/constraints.txt

clean:
	-$(BIN)/nyc-tlc postgres stop
	-TLC_LOCAL_DIR=.local/demo $(BIN)/nyc-tlc postgres stop
	rm -rf $(VENV) .local target logs
