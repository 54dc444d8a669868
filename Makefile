# The front door. Everything that a target needs, it builds: `make demo` and `make test` work first
# thing on a fresh clone.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# WITH=bigquery adds that warehouse's packages.
REQUIREMENTS := requirements.txt $(if $(filter bigquery,$(WITH)),requirements-bigquery.txt)
DEMO_MONTHS := --month 2023-01 --to 2023-02

.PHONY: help install demo test lint clean

help:
	@echo 'make install   the environment in $(VENV) (WITH=bigquery: that warehouse too)'
	@echo 'make demo      two generated months of green and yellow, loaded, merged and tested'
	@echo 'make test      lint, dbt and Python tests on a throwaway Postgres'
	@echo 'make clean     stop the embedded server and remove $(VENV) and .local'

# A stamp per set of requirements: reinstalled only when its files change.
define stamp
$(VENV)/.installed-$(subst /,_,$(1))
endef

install: $(foreach file,$(REQUIREMENTS),$(call stamp,$(file)))

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: % $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/.installed-requirements-dev.txt: requirements.txt
$(VENV)/.installed-requirements-bigquery.txt: requirements.txt

demo: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo

test: $(call stamp,requirements-dev.txt)
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/test

clean:
	-$(BIN)/python -m loader postgres stop
	rm -rf $(VENV) .local target logs
