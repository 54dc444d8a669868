# Every target installs what it needs, so each one works on a fresh clone.

VENV := .venv
BIN := $(VENV)/bin
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
# WITH=bigquery, explore, dashboard, or several: the optional extras of pyproject.toml.
WITH :=
EXTRAS := bigquery report explore dashboard
ifneq ($(filter-out $(EXTRAS),$(WITH)),)
$(error WITH=$(WITH): choose from $(EXTRAS))
endif

# The first Python whose version dbt supports. Each is run, because a name on the PATH may be a shim.
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	"$$name" -c '$(IS_SUPPORTED)' 2>/dev/null && echo "$$name" && break; done)
endif

.PHONY: help install demo demo-clean docs site check test test-all first-ten-minutes bench chaos \
	fuzz dist audit constraints clean

help:
	@echo 'make install      create the environment in $(VENV) (WITH=bigquery: for that warehouse too;'
	@echo '                  HASHES=1: for all extras, each file checked against hashes.txt)'
	@echo 'make demo         load, merge and test two generated months of green and yellow, and report'
	@echo 'make demo-clean   stop and remove the demo'
	@echo 'make docs         dbt docs of the demo, as one page: target/static_index.html'
	@echo 'make site         README, docs, dbt docs and a report as a website in site/, which needs no server'
	@echo 'make check        lint, types and the tests that need no server, for every commit'
	@echo 'make test         make check, then dbt and Python tests on Postgres and on emulators of BigQuery'
	@echo 'make test-all     what make test leaves out: slow tests, then make first-ten-minutes'
	@echo 'make first-ten-minutes   run the demo and the commands of the README in a fresh clone'
	@echo 'make bench        compare with the replaced flow and the limit: ROWS=7700000 MONTHS=24, any size'
	@echo '                  HISTORY=1: all published months, at a thousandth of their rows'
	@echo 'make chaos        kill loads and builds at random moments (ROUNDS=200 SEED=1), compare results'
	@echo '                  POWER=1: lose power instead (Linux, root, xfsprogs)'
	@echo 'make fuzz         load malformed files (ROUNDS=5000 SEED=1): refused, or loaded right'
	@echo 'make dist         build the package and its bill of materials (SBOM) in dist/'
	@echo 'make audit        ask PyPI for known vulnerabilities of the installed packages'
	@echo 'make constraints  pin the newest versions that pyproject.toml allows'
	@echo 'make clean        stop the embedded servers; remove their data and $(VENV)'

comma := ,
empty :=
space := $(empty) $(empty)
# A stamp file for each set of extras: pip runs again only when its inputs have changed.
installed = $(VENV)/installed-$(if $(HASHES),hashes,$(or $(subst $(space),-,$(sort $(1))),base))

install: $(call installed,$(WITH))

# In two steps: pip can't check the hash of a folder.
$(VENV)/installed-hashes: pyproject.toml hashes.txt $(BIN)/python
	@echo 'installing nyc-tlc, each file checked against hashes.txt'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps \
		--requirement hashes.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation \
		--editable .
	@touch $@

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
	@env -u TLC_LOCAL_DIR $(BIN)/nyc-tlc demo

demo-clean: install
	@TLC_LOCAL_DIR=.local/demo $(BIN)/nyc-tlc postgres stop
	rm -rf .local/demo

docs: demo
	@TLC_TARGET=local TLC_LOCAL_DIR=.local/demo $(BIN)/nyc-tlc dbt docs generate --static

site: docs
	@$(BIN)/python scripts/build_site.py .local/demo/report.html target/static_index.html \
		$(patsubst %/datapackage.json,%,$(wildcard published/datapackage.json))
	@TLC_LOCAL_DIR=.local/demo $(BIN)/nyc-tlc postgres psql --quiet --command "\copy (select dataset, \
		file_month, last_modified, file_bytes, sha256, table_rows, rows_added, rows_removed, merged_at, \
		removed_at, is_current from tlc.file_ledger order by dataset, file_month, merged_at) \
		to site/versions.csv with (format csv, header)"

test: $(call installed,dev)
	@$(IN_VENV) scripts/test

test-all: $(call installed,dev)
	@$(IN_VENV) scripts/test -m slow
	@$(MAKE) first-ten-minutes

check: $(call installed,dev)
	@$(IN_VENV) scripts/check

first-ten-minutes: install
	@$(BIN)/python tests/first_ten_minutes.py

# A quick benchmark of a few minutes. A full one takes an hour and 60 GB.
ROWS ?= 1000000
MONTHS ?= 3
REPEATS ?= 3
THEIRS ?= 13
PEERS := .local/bench/venv
bench: $(call installed,dev) $(if $(HISTORY),,$(PEERS)/installed)
	@$(IN_VENV) python -m benchmarks --rows $(ROWS) --months $(MONTHS) --theirs $(THEIRS) \
		--repeats $(REPEATS) --peers $(PEERS)/bin/python --dataset $(or $(DATASET),yellow) \
		$(if $(HISTORY),--history)

# The constraints list every package that is compared.
$(PEERS)/installed: benchmarks/constraints.txt $(BIN)/python
	$(BIN)/python -m venv $(PEERS)
	@echo 'installing the packages that ours is compared with'
	@$(PEERS)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --requirement $<
	@touch $@

# For chaos and fuzz: the number of rounds, and the seed of the first.
ROUNDS ?= 200
SEED ?= 1
chaos: $(call installed,dev)
	@$(IN_VENV) python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED) $(if $(POWER),--power) \
		$(if $(TARGET),--target $(TARGET))

fuzz: ROUNDS = 5000
fuzz: $(call installed,dev)
	@$(IN_VENV) python -m tests.security.fuzz --rounds $(ROUNDS) --seed $(SEED)

dist: $(call installed,release)
	rm -rf dist
	@$(BIN)/python -m hatchling build -d dist
	@$(BIN)/cyclonedx-py requirements hashes.txt --output-file dist/nyc_tlc.cdx.json

audit: $(call installed,audit)
	@$(BIN)/pip-audit --local --progress-spinner off

UV_COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --no-annotate \
	--custom-compile-command 'make constraints'
constraints: $(BIN)/python
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv
	$(UV_COMPILE) pyproject.toml --all-extras --python-version 3.11 -o constraints.txt
	$(UV_COMPILE) pyproject.toml --extra bigquery --extra explore --group build \
		--python-version 3.11 --constraint constraints.txt --generate-hashes -o hashes.txt
	$(UV_COMPILE) --group emulator --python-version 3.13 -o tests/emulator/constraints.txt
	$(UV_COMPILE) --group pgadmin --python-version 3.11 -o tests/postgres/pgadmin_constraints.txt
	$(UV_COMPILE) --group pgserver --python-version 3.11 -o tests/postgres/pgserver_constraints.txt
	$(UV_COMPILE) --group frictionless --python-version 3.11 \
		-o tests/postgres/frictionless_constraints.txt
	$(UV_COMPILE) --group bench --python-version 3.11 -o benchmarks/constraints.txt

clean:
	-$(BIN)/nyc-tlc postgres stop
	-TLC_LOCAL_DIR=.local/demo $(BIN)/nyc-tlc postgres stop
	rm -rf $(VENV) .local target logs
