# Kafang needs Python >= 3.11 and make; everything else lands in .venv, pinned by hash.
PY ?= python3
BIN := .venv/bin
PYTHON := $(BIN)/python
N ?= 20
ARGS ?=

# Cycles of `make soak`: long enough for an evening, not for a coffee.
SOAK_N ?= 500
MEMBERS ?= 500000
UV_VERSION := 0.13.9

# Valid in every Python ever shipped, so that an old one can still say what is wrong.
OLD_PYTHON := import sys; sys.version_info < (3, 11) and sys.exit( \
  "Kafang needs Python 3.11 or newer; %s is %d.%d. Name a newer one: make PY=python3.12" \
  % (sys.executable, sys.version_info[0], sys.version_info[1]))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run demo test clients bench crash restore upgrade rotation soak check lint types drift openapi schema lock

help: ## explain the targets (this text)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# In place when the environment works, anew when its Python or pip is gone or too old.
.venv/.stamp: requirements.lock
	@command -v $(PY) >/dev/null || { echo "No '$(PY)' found. Name a Python >= 3.11: make PY=/path/to/python3" >&2; exit 1; }
	@$(PY) -c '$(OLD_PYTHON)'
	@{ $(PYTHON) -c '$(OLD_PYTHON)' && $(PYTHON) -m pip --version; } >/dev/null 2>&1 \
	  || $(PY) -m venv --clear .venv
	$(PYTHON) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# Node comes from the environment; what the TypeScript client is made with is pinned by hash too.
NODE_CHECK := tests/clients/typescript
.venv/.node: .venv/.stamp $(NODE_CHECK)/package-lock.json
	cd $(NODE_CHECK) && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

run: .venv/.stamp ## start Kafang and, without DATABASE_URL, its own PostgreSQL (ARGS='--help')
	$(PYTHON) -m service run $(ARGS)

demo: .venv/.stamp ## walk through a merchant's day against a fresh server
	$(PYTHON) -m tests.demo $(ARGS)

# Two at once, each with servers and databases of its own; a file's tests stay together.
test: .venv/.stamp ## run the test suite (ARGS='tests/ledger -k transfer')
	$(PYTHON) -m pytest $(or $(ARGS),-n 2 --dist loadfile)

clients: .venv/.stamp .venv/.node ## make a TypeScript client from the contract and drive it
	$(PYTHON) -m pytest tests/clients/check_typescript.py

bench: .venv/.stamp ## measure throughput and latency
	$(PYTHON) -m tests.bench $(ARGS)

crash: .venv/.stamp ## kill the service N times under load and verify the ledger (N=20)
	$(PYTHON) -m tests.crash --cycles $(N)

restore: .venv/.stamp ## back up under load, restore to N random instants, compare each with the journals (N=20)
	$(PYTHON) -m tests.restore --points $(N) $(ARGS)

upgrade: .venv/.stamp ## replace the commit before by this version under load, and back (ARGS='--from REF')
	$(PYTHON) -m tests.upgrade $(ARGS)

rotation: .venv/.stamp ## new keys for what is personal of MEMBERS people while it is read and changed
	$(PYTHON) -m tests.personal --members $(MEMBERS)

soak: .venv/.stamp ## the long version of crash (SOAK_N=500), of bench and of random lives of cards
	$(PYTHON) -m tests.crash --cycles $(SOAK_N)
	$(PYTHON) -m tests.bench --soak
	KAFANG_HYPOTHESIS_EXAMPLES=10000 $(PYTHON) -m pytest tests/ledger/test_decide_machine.py

# The crash run comes before the suite so that a log ends with pytest's closing line.
check: lint types drift ## all that CI checks: lint, types, drift, crash N=20, test
	@$(MAKE) --no-print-directory crash N=20
	@$(MAKE) --no-print-directory test ARGS=

lint: .venv/.stamp ## style, import arrows, migration hazards, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/squawk sql/migrations/*.sql
	$(BIN)/hadolint Dockerfile
	$(PYTHON) -m pytest -q tests/test_tidy.py

types: .venv/.stamp ## mypy --strict on service, schemas and tests
	$(BIN)/mypy

GEN_OPENAPI = $(PYTHON) -m service openapi
GEN_SCHEMA = $(PYTHON) -m tests.sql.dump_schema

drift: .venv/.stamp ## fail if openapi.json or schema.sql isn't what the code generates
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT \
	&& $(GEN_OPENAPI) > "$$tmp/openapi.json" && $(GEN_SCHEMA) > "$$tmp/schema.sql" \
	&& { diff -u openapi/openapi.json "$$tmp/openapi.json" || { echo "openapi/openapi.json is stale: make openapi" >&2; exit 1; }; } \
	&& { diff -u sql/schema.sql "$$tmp/schema.sql" || { echo "sql/schema.sql is stale: make schema" >&2; exit 1; }; } \
	&& echo "openapi/openapi.json and sql/schema.sql are up to date"

# Through a .tmp file: a failing generator must not leave half a document behind.
regenerate = $(2) > $(1).tmp && mv $(1).tmp $(1) || { rm -f $(1).tmp; exit 1; }

openapi: .venv/.stamp ## regenerate openapi/openapi.json
	@mkdir -p openapi
	$(call regenerate,openapi/openapi.json,$(GEN_OPENAPI))

schema: .venv/.stamp ## regenerate sql/schema.sql from the migrations
	$(call regenerate,sql/schema.sql,$(GEN_SCHEMA))

lock: .venv/.stamp ## resolve requirements.in into the lock files (ARGS='--upgrade')
	$(PYTHON) -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 $(ARGS) \
	  -o requirements.lock requirements.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
	  -c requirements.lock -o requirements.runtime.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
	  -c requirements.lock --extra otel -o requirements.otel.lock pyproject.toml
