# Everything that people type. `make setup` is done first by whatever needs it, and takes no time when nothing changed.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv/bin
PY := $(VENV)/python
NODE := $(PY) -m chatproject.services.node
INSTALLED := .venv/.installed
VENDOR := static/vendor/marked/LICENSE
export PYTHON

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup vendor packages compile interpreted run test test-server test-browser test-postgres test-js lint style generated bench demo chaos soak screenshots lock docs docs-check translations icons chromium

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(INSTALLED) $(VENDOR) ## prepare .venv and compile; starts nothing
	@$(PY) -m chatproject.compiled build

$(INSTALLED): requirements.txt requirements-local.txt .ci/install
	@.ci/install
	@touch $@

packages: $(INSTALLED) ## (`setup` does it) the locked packages, in .venv

vendor: $(VENDOR) ## (`setup` does it) the libraries of the page, from npm by their lock file

$(VENDOR): .ci/page/package-lock.json .ci/vendor | $(INSTALLED)
	@.ci/vendor
	@touch $@

compile: setup ## (`setup` does it) the modules on the path of every message to C, where there is a compiler

interpreted: ## remove what was compiled, to work on those modules; commands that are not made by make run as they are
	@$(PYTHON) -m chatproject.compiled clean

run: setup ## three nodes behind nginx at http://localhost:8000 (or PORT=…), with a small real model
	@CHAT_MODEL=$${CHAT_MODEL:-$$($(PY) -m chatproject.services.model)} exec $(PY) manage.py cluster --port $(PORT)

# Two at a time, each with a Redis, a database and ports of its own; what is printed second has run meanwhile.
# ALSO: what else shall be done there.
test: setup ## all tests
	@mkdir -p var; $(MAKE) -k --no-print-directory test-browser test-postgres test-js $(ALSO) >var/test.log 2>&1 & second=$$!; \
	$(MAKE) --no-print-directory test-server; status=$$?; \
	wait $$second || status=1; cat var/test.log; exit $$status

test-server: setup ## those without a browser, real nodes and real kills among them
	$(VENV)/pytest tests/unit tests/contract tests/integration tests/acceptance

test-browser: setup chromium ## the pages, in Chromium
	$(VENV)/pytest tests/browser

# What touches the database, once more on the database of production.
test-postgres:
	TETHER_TEST_DATABASE=postgres $(VENV)/pytest -m database

test-js:
	$(NODE) --test tests/js/*.test.js

lint: style generated ## style, types, imports, templates, migrations, translations, generated documents

# Of the sources alone: it may run beside the compiler.
style: $(INSTALLED)
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy chatproject accounts realtime conversations
	$(VENV)/lint-imports
	$(VENV)/djlint templates --check --quiet
	$(VENV)/djlint templates --lint --quiet

generated: setup
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) -m chatproject.translations
	$(MAKE) --no-print-directory docs-check

docs-check: setup ## fail where generated documents are not what the code says
	$(PY) manage.py protocol_docs --check

docs: setup ## generate them
	$(PY) manage.py protocol_docs

translations: setup ## compile locale/*.po, which `lint` compares with what the sources say
	$(VENV)/pybabel --quiet compile --domain django --directory locale

icons: setup ## draw the app's icons anew
	$(PY) -m chatproject.icons

demo: setup ## three demonstrations on three nodes, with counts, passed or failed
	$(PY) manage.py demo

bench: setup ## fan-out beside Socket.IO, and what else is measured
	$(PY) -m bench

chaos: setup ## 1,000 faults from a seed (SEED=…) while people talk, with counts, passed or failed; an hour or more
	$(PY) manage.py chaos --faults 1000 --seed $${SEED:-1} --history var/chaos.jsonl

soak: setup ## the acceptance tests at full length
	SOAK=1 $(VENV)/pytest tests/acceptance --timeout 3600

screenshots: setup chromium ## pictures of the pages for the documents
	SCREENSHOTS=1 $(VENV)/pytest tests/browser/test_screenshots.py

lock: setup ## requirements.txt from requirements.in
	$(VENV)/uv pip compile --quiet --universal --python-version 3.11 requirements.in -o requirements.txt

chromium: setup
	@.ci/chromium
