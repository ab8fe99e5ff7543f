# A bare `make` prints what there is to do. Each target sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv/bin

.PHONY: help demo test coverage lint build member-template bench docs authorities mutants step setup packages active-directory lock

help:                            ## What there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup                      ## From the tag to the login, in seconds; writes run.html
	@$(VENV)/python -m local rehearse scenarios/tag-to-login.yaml --html run.html

test: setup active-directory     ## All tests; then each function's policy against what they needed
	@rm -rf .local/needs
	@$(VENV)/pytest -n auto --dist loadgroup
	@$(VENV)/pytest -q tests/policies

coverage: setup active-directory ## All tests, with the lines and branches that none of them reaches; no limit is set
	@$(VENV)/pytest -n auto --dist loadgroup --cov --cov-report=term-missing:skip-covered

lint: setup                      ## ruff, mypy, cfn-lint, sam validate, and the state machine's graph
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy layers/common deploy local setup tests tools
	@for app in functions/*/app.py; do $(VENV)/mypy $$app || exit 1; done
	@$(VENV)/pytest -q tests/template

build: setup                     ## sam build, without Docker
	@$(VENV)/python -m deploy.build $(ARGUMENTS)

member-template: setup           ## The stack for the accounts of an organization, as a StackSet takes it
	@$(VENV)/python -m deploy.member_template $(ARGUMENTS)

bench: setup                     ## The page of figures, docs/benchmarks.md: imports, sizes, cost, polling, rollouts
	@$(VENV)/python -m tools.bench

docs: setup                      ## The pages, the pictures and the state machine that are made from the code
	@$(VENV)/python -m tools docs

authorities: setup               ## RDS's certificate authorities, which the layer ships, from AWS
	@$(VENV)/python -m tools authorities $(ARGUMENTS)

mutants: setup                   ## Small faults in the code that no test would notice: MODULE=a path, or hours for all
	@$(VENV)/python -m tools.mutants $(MODULE)

step: setup                      ## A new step in all its places: NAME=ensure_example, BEFORE=the step that comes after it
	@$(VENV)/python -m tools.new_step $(NAME) $(if $(BEFORE),--before $(BEFORE))

setup: packages .venv/ready      ## PostgreSQL, MIT Kerberos and the virtual environment

packages:
	@$(PYTHON) setup/packages.py

active-directory:                ## Samba, for the tests with a real Active Directory; they are skipped without it
	@$(PYTHON) setup/packages.py active-directory

.venv/ready: requirements/dev.txt | packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "This needs Python 3.11 or later; set PYTHON=.")'
	@echo "Setting up the virtual environment .venv"
	@$(PYTHON) -m venv .venv
	@# The lock names every dependency with its hash: nothing is left to resolve.
	@$(VENV)/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

lock:                            ## Renew the pinned requirements (needs pip-tools)
	for name in layers/common/requirements layers/postgres/requirements functions/validate_request/requirements \
	    functions/sweep_clusters/requirements \
	    functions/list_accounts/requirements \
	    requirements/dev; do \
	  pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $$name.in -o $$name.txt || exit 1; \
	done
