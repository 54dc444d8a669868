# The front door. What a target needs, it builds: each works first thing on a fresh clone.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# WITH=bigquery, WITH=dashboard or both: what not everybody needs.
# Of `make chaos`: how many rounds, and the seed of the first.
ROUNDS ?= 200
SEED ?= 1
REQUIREMENTS := requirements.txt $(WITH:%=requirements-%.txt)
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: help install demo test bench chaos fuzz audit clean

help:
	@echo 'make install  the environment in $(VENV) (WITH=bigquery: that warehouse too)'
	@echo 'make demo     two generated months of green and yellow: loaded, merged, tested'
	@echo 'make test     lint, dbt and Python tests on a throwaway Postgres and on emulators of BigQuery'
	@echo 'make bench    measure beside the replaced flow and the limit: ROWS=7700000 MONTHS=24, any size'
	@echo 'make chaos    kill loads and builds at random moments (ROUNDS=200 SEED=1), and compare'
	@echo 'make fuzz     ROUNDS malformed files (SEED) through the loader: refused, or loaded right'
	@echo 'make audit    known vulnerabilities of what is installed, by asking PyPI'
	@echo 'make clean    stop the embedded server; remove it, its data and $(VENV)'

install: $(REQUIREMENTS:%=$(VENV)/%.installed)

demo: install
	@$(IN_VENV) scripts/demo

test: $(VENV)/requirements-dev.txt.installed
	@$(IN_VENV) scripts/test

# The size of a quick look: minutes. A full one takes an hour and 60 GB.
ROWS ?= 1000000
MONTHS ?= 3
REPEATS ?= 3
THEIRS ?= 13
PEERS := .local/bench/venv
bench: install $(PEERS)/requirements-bench.txt.installed
	@$(IN_VENV) python -m benchmarks --rows $(ROWS) --months $(MONTHS) --theirs $(THEIRS) \
		--repeats $(REPEATS) --peers $(PEERS)/bin/python

$(PEERS)/%.installed: %
	$(PYTHON) -m venv $(PEERS)
	@echo "installing $<"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

chaos: $(VENV)/requirements-dev.txt.installed
	@$(IN_VENV) python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED)

fuzz: ROUNDS = 5000
fuzz: $(VENV)/requirements-dev.txt.installed
	@$(IN_VENV) python -m tests.security.fuzz --rounds $(ROUNDS) --seed $(SEED)

audit: $(VENV)/requirements-audit.txt.installed
	@$(BIN)/pip-audit --local --progress-spinner off

clean:
	-$(BIN)/python -m loader postgres stop
	rm -rf $(VENV) .local target logs

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp for each file of requirements: pip runs again only when one has changed. The .pth makes
# every Python of the environment know the project and its settings: see export_settings.
$(VENV)/%.installed: % requirements.txt requirements-bigquery.txt $(BIN)/python
	@echo "installing $<"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@printf '%s\n' '$(CURDIR)' 'import loader.settings; loader.settings.export_settings()' \
		> "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nyc_tlc.pth"
	@touch $@
