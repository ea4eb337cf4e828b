# Every target sets up what it needs, once. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export LC_ALL := C.UTF-8
export PYTHONUTF8 := 1
export DO_NOT_TRACK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# Looked for once, and only where it is used.
PYTHON ?= $(eval PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3; do \
	if $$python -c '$(SUPPORTED)' 2>/dev/null; then echo $$python; break; fi; done))$(PYTHON)
BIN := .venv/bin
# Of the UI.
PORT ?= 3000
# More than the two cores that this is meant for: end-to-end tests wait for daemons now and then.
WORKERS ?= 3
# What the tests' stand-in for Azure needs besides the environment.
STAND_IN := node_modules/.installed .venv/inference-server/.installed

# Tests keep their state in folders of their own and send nothing, whatever the shell is set up for.
# A file's tests share what they set up, so they stay on one worker (loadgroup has no effect with pytest 9.2). Workers
# share the cores, so no process takes more than one: threads that wait for each other there only burn time.
PYTEST := env $(patsubst %,-u %,$(filter CREDIT_DEFAULT_%,$(.VARIABLES))) -u DAGSTER_HOME -u APPLICATIONINSIGHTS_CONNECTION_STRING \
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest \
	-n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo azure-demo azure-check dev test test-fast test-all lint format clean lock chromium servers

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## /\1\t/' | expand -t 12

demo: .venv/.project  ## train, deploy, score and watch a model on real data, a few minutes
	$(BIN)/credit-default demo

azure-demo: .venv/.project $(STAND_IN)  ## the same in `development`, on a stand-in for Azure
	$(BIN)/python -m credit_default_tests.azure_demo

# SETTINGS=file names the workspace, else the environment does; ON=stand-in plays it for nothing.
azure-check: .venv/.project $(if $(ON),$(STAND_IN))  ## hold a real, unused Azure ML workspace to what was assumed of Azure: docs/azure-check.md
	$(BIN)/python -m credit_default_tests.azure_check $(if $(SETTINGS),--settings $(SETTINGS)) $(if $(ON),--$(ON))

dev: .venv/.project  ## open the Dagster UI on http://127.0.0.1:3000; PORT=... takes another port
	$(BIN)/credit-default dev --port $(PORT)

# What the tests need besides the environment is fetched by twos: each waits for the network or keeps one core busy.
test: .venv/.project  ## run every test but the soak
	@$(MAKE) --no-print-directory -j 2 $(STAND_IN) .venv/checkov/.installed .venv/batch/.installed chromium servers
	$(PYTEST) -m "not soak"

test-all: test  ## run the soak too: ten minutes of arriving files and random kills
	$(PYTEST) -m soak -n 0 -s

test-fast: .venv/.project $(STAND_IN)  ## run the tests that take no more than a few seconds each
	$(PYTEST) -m "not slow"

lint: .venv/.project  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.project  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what make made; keeps .credit_default, which holds your data and models
	rm -rf .venv node_modules build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find credit_default credit_default_tests -name __pycache__ -prune -exec rm -rf {} +

# Installs what a lock holds, and says how far it is: $(call INSTALL,python,lock,further arguments)
INSTALL = PYTHONUNBUFFERED=1 $(1) -m pip install --no-deps --require-hashes -r $(2) $(3) \
	| awk -v all="$$(grep -c '==' $(2))" -f .ci/progress.awk

# Made anew from the lock, so that a half-made or outdated environment is mended by running make again.
# --no-deps: the lock is complete.
.venv/.requirements: requirements.lock
	@if ! "$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null; then \
		echo "Python 3.11, 3.12 or 3.13 is needed$(if $(PYTHON), and PYTHON=$(PYTHON) is none of them): install one, or set PYTHON to it." >&2; \
		exit 1; fi
	@echo "Setting up .venv (once, some minutes)"
	"$(PYTHON)" -m venv --clear .venv
	$(call INSTALL,$(BIN)/python,$<)
	@touch $@

.venv/.project: .venv/.requirements pyproject.toml
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Gone with .venv when that is made anew, so it comes after it.
.venv/inference-server/.installed: credit_default_tests/inference_server.txt .venv/.requirements
	@echo "Setting up the inference server of the tests (once)"
	rm -rf $(@D)
	$(call INSTALL,$(BIN)/python,$<,--target $(@D))
	@touch $@

# What batch deployments score with on Azure ML, for real; see the lock.
.venv/batch/.installed: credit_default/resources/azure/environments/batch.txt .venv/.requirements
	@echo "Setting up the environment of batch deployments for the tests (once)"
	$(BIN)/python -m venv --clear $(@D)
	$(call INSTALL,$(@D)/bin/python,$<)
	@touch $@

# An environment of its own, which looks over the Bicep files; see the lock.
.venv/checkov/.installed: credit_default_tests/checkov.txt .venv/.requirements
	@echo "Setting up checkov for the tests (once)"
	$(BIN)/python -m venv --clear $(@D)
	$(call INSTALL,$(@D)/bin/python,$<)
	@touch $@

# Azurite, the blob store of the tests. Made anew from its lock, as .venv is; nothing in it needs a script at install.
node_modules/.installed: package.json package-lock.json .npmrc
	@command -v npm >/dev/null || { echo "npm is missing, which the tests' blob store needs: install Node.js 22 (20 works too)." >&2; exit 1; }
	@echo "Setting up node_modules for the tests (once)"
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

chromium:  # a browser for the tests of the UI
	@if command -v chromium >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium; \
	else \
		echo "chromium is missing, which the tests of the UI need: install it (Debian: apt-get install chromium), or use make test-fast." >&2; \
		exit 1; fi

# Debian starts a service when it installs it, and PostgreSQL with a database of its own: nobody asked for either.
NO_SERVICES := /usr/sbin/policy-rc.d
NO_DATABASE := /etc/postgresql-common/createcluster.conf
servers: | chromium  # PostgreSQL and nginx for the tests of hosting, which start them by themselves; apt installs one at a time
	@if { command -v nginx || ls /usr/sbin/nginx; } >/dev/null 2>&1 && \
		{ command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		if [ ! -e $(NO_SERVICES) ]; then \
			trap 'rm -f $(NO_SERVICES)' EXIT; \
			printf '#!/bin/sh\nexit 101\n' > $(NO_SERVICES); chmod 755 $(NO_SERVICES); fi; \
		if [ ! -e $(NO_DATABASE) ]; then \
			mkdir -p $(dir $(NO_DATABASE)); echo "create_main_cluster = false" > $(NO_DATABASE); fi; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
			-o Dpkg::Options::=--force-confold postgresql nginx; \
	else \
		echo "postgresql or nginx is missing, which the tests of hosting need: install them (Debian: apt-get install postgresql nginx), or use make test-fast." >&2; \
		exit 1; fi

# Keeps the versions that are locked and still fit pyproject.toml; remove the lock first to take the newest of all.
COMPILE := uv pip compile pyproject.toml --extra dev --extra hosting --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header

# The environments of Azure ML jobs: linux on x86_64, whatever this is.
JOB_ENVIRONMENTS := credit_default/resources/azure/environments
JOB_KINDS := train drift score
COMPILE_WITH = uv pip compile -c $(1) --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	--generate-hashes --no-annotate --no-emit-index-url --no-header
COMPILE_JOB := $(call COMPILE_WITH,requirements.lock)
# The image that Dagster is hosted in: the project as it runs, without what only its tests need.
HOSTING := credit_default/deploy/hosting/requirements
# Of online deployments. Azure ML's inference server pins these to versions of long ago, and was seen to work with the
# lock's: the tests run it with them. Everything there has the lock's version, and is installed without asking it.
ONLINE := $(JOB_ENVIRONMENTS)/online
OVERRIDDEN := ^(opentelemetry-api|opentelemetry-sdk|opentelemetry-semantic-conventions|pydantic|wrapt)==
# Of batch deployments. Azure ML's own packages want these older than the lock has them: nothing resolves with the whole
# lock, so these are free, and everything else there has the lock's version. Models score the same: a test installs it.
BATCH := $(JOB_ENVIRONMENTS)/batch
UNLOCKED := ^(azure-mgmt-.*|cloudpickle|cryptography|joblib|numpy|packaging|pathspec|pyarrow|setuptools)==

lock:  ## resolve pyproject.toml into requirements.lock again
	@command -v uv >/dev/null || { echo "uv is missing, which resolves the lock: pip install uv" >&2; exit 1; }
	if [ -e requirements.lock ]; then cp requirements.lock requirements.lock.new; fi
	$(COMPILE) -q -o requirements.lock.new
	{ echo "# Every package that the project runs and is tested with, with hashes. Made from pyproject.toml with:"; \
		echo "#   uv pip compile pyproject.toml --extra dev --extra hosting --universal --python-version 3.11 \\"; \
		echo "#      --generate-hashes --no-emit-index-url --no-header -o requirements.lock      (make lock)"; \
		cat requirements.lock.new; } > requirements.lock
	rm requirements.lock.new
	$(COMPILE_JOB) --extra hosting -q -o $(HOSTING).new pyproject.toml
	{ echo "# What the image of a hosted Dagster needs, with hashes: the versions of requirements.lock. Made with:"; \
		echo "#   $(COMPILE_JOB) --extra hosting pyproject.toml      (make lock)"; \
		cat $(HOSTING).new; } > $(HOSTING).txt
	rm $(HOSTING).new
	for kind in $(JOB_KINDS); do \
		$(COMPILE_JOB) -q -o $(JOB_ENVIRONMENTS)/$$kind.new $(JOB_ENVIRONMENTS)/$$kind.in; \
		{ echo "# What a job of the kind $$kind needs, with hashes: the versions of requirements.lock. Made with:"; \
			echo "#   $(COMPILE_JOB) $$kind.in      (make lock)"; \
			cat $(JOB_ENVIRONMENTS)/$$kind.new; } > $(JOB_ENVIRONMENTS)/$$kind.txt; \
		rm $(JOB_ENVIRONMENTS)/$$kind.new; \
	done
	grep -oE '$(OVERRIDDEN)[^ ]+' requirements.lock > $(ONLINE).overrides
	$(COMPILE_JOB) --override $(ONLINE).overrides -q -o $(ONLINE).new $(ONLINE).in
	{ echo "# What an online deployment needs, with hashes: the versions of requirements.lock, also where Azure ML's"; \
		echo "# inference server wants others (OVERRIDDEN in the Makefile). Made with:      make lock"; \
		cat $(ONLINE).new; } > $(ONLINE).txt
	rm $(ONLINE).overrides $(ONLINE).new
	grep -oE '^[a-zA-Z0-9._-]+==[^\\]*' requirements.lock | grep -vE '$(UNLOCKED)' > $(BATCH).constraints
	$(call COMPILE_WITH,$(BATCH).constraints) -q -o $(BATCH).new $(BATCH).in
	{ echo "# What a batch deployment needs, with hashes: the versions of requirements.lock, but for those that Azure ML's"; \
		echo "# own packages want older (UNLOCKED in the Makefile). Made with:      make lock"; \
		cat $(BATCH).new; } > $(BATCH).txt
	rm $(BATCH).constraints $(BATCH).new
