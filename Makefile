# Each command makes the machine ready by itself (scripts/setup) and then does one thing.
SHELL := /bin/bash
PYTHON := .venv/bin/python
# Tests wait for others half of their time. Some groups stay in one process each (tests/scheduling.py).
WORKERS := $(shell n=$$(nproc); echo $$((n < 4 ? 2 * n + 1 : 9)))
# What a machine says against it would have every process compile Lineal and the tests anew.
unexport PYTHONDONTWRITEBYTECODE
SHELL_SCRIPTS := .ci/run scripts/setup scripts/engine scripts/buildkit scripts/forwarder scripts/lock scripts/cluster \
  scripts/sops scripts/cosign scripts/sigstore scripts/controllers scripts/docker29 scripts/registries scripts/release scripts/tag scripts/publish scripts/component scripts/lib.sh $(wildcard entrypoint.sh)
YAML := $(wildcard .yamllint *.yml *.yaml .github gitlab-ci build build-push setup) examples
WORKFLOWS := $(wildcard .github/workflows/*.yml examples/ci/github*.yml)

.PHONY: help demo check check-tests test test-long test-engines test-docker29 fuzz corpus lint bench cluster sops cosign sigstore controllers registries docker29

help:
	@echo 'make demo    a small shop is built, changed, branched, merged and rendered, as a story (STORE=host/repo for a registry)'
	@echo 'make check   lint, types, unit tests without servers: what to run before a commit'
	@echo 'make test    all tests but the long searches, against a real engine, registry and Helm (ARGS="-k name" for some of them)'
	@echo 'make test-long  the long searches: 100,000 schedules of runs that meet, many generated Dockerfiles, the image from nothing, the demo of an ordinary user'
	@echo 'make fuzz    the Hypothesis tests search with new examples (SECONDS=300)'
	@echo 'make corpus  Lineal plans the Dockerfiles of other projects: DIR= has their checkouts (ARGS="--json FILE")'
	@echo 'make lint    ruff, mypy, shellcheck, yamllint, actionlint, zizmor, schemas'
	@echo 'make cluster a Kubernetes API server for the tests, built once with Go'
	@echo 'make sops    sops for the tests of encrypted values, built once with Go'
	@echo 'make cosign  cosign for the tests of signatures, built once with Go'
	@echo 'make sigstore  a private Sigstore for the long tests of keyless signatures, built once with Go'
	@echo 'make controllers  Flux and Argo CD for the long tests of what is handed over, built once with Go'
	@echo 'make registries  other registries than docker-registry for the tests, built once with Go'
	@echo 'make docker29  Docker Engine 29 for make test-docker29, built once with Go'
	@echo 'make bench   Lineal beside docker build; the result goes to bench/RESULTS.md'

demo:
	@scripts/setup demo
	@$(PYTHON) examples/demo.py $(ARGS)

# Both at once. Searches of Hypothesis are for the other commands too.
check:
	@$(MAKE) --no-print-directory --jobs --output-sync lint check-tests

check-tests:
	@scripts/setup lint
	$(PYTHON) -m pytest -n 2 --timeout 60 -m "not server and not slow and not hypothesis" tests/unit $(ARGS)

# MARKS= for the long ones, too.
test: MARKS ?= not long
test:
	@scripts/setup test
	$(PYTHON) -m pytest -n $(WORKERS) --timeout 1500 -m "$(MARKS)" $(ARGS)

# What is marked so, and what searches further with more schedules and Dockerfiles, and the image built from nothing:
# more than half an hour. .ci/run has all that in its `make test`, with fewer schedules.
test-long: export LINEAL_SCHEDULES ?= 100000
test-long: export LINEAL_GENERATED ?= 32
test-long: export LINEAL_REBUILD = 1
test-long:
	@scripts/setup test
	$(PYTHON) -m pytest -n $(WORKERS) --timeout 1500 -m long $(ARGS)
	$(PYTHON) -m pytest -n $(WORKERS) -m "not long" tests/simulation tests/differential/test_generated.py \
	  tests/runner/test_image.py $(ARGS)
	$(MAKE) --no-print-directory test-engines
	if [ -e "$(DOCKER29)" ]; then $(MAKE) --no-print-directory test-docker29; fi

# What RUN has, with other engines than the machine's Docker.
SAME_IMAGE := tests/differential/test_same_image.py -k "run/ or onbuild/ or targets/ or args/"
DOCKER29 := $${XDG_CACHE_HOME:-$$HOME/.cache}/lineal-test/docker29/stamp
test-engines:
	@scripts/setup test
	for engine in buildkit runc; do LINEAL_TEST_ENGINE=$$engine $(PYTHON) -m pytest -n $(WORKERS) --timeout 1500 \
	  $(SAME_IMAGE) $(ARGS) || exit; done

# Both of its image stores, and the places of both ways to have containerd.
test-docker29:
	$(PYTHON) -m tests.docker29 system $(PYTHON) -m pytest -n 2 --timeout 600 tests/unit/engine/docker/test_snapshots.py
	for store in containerd overlay2; do $(PYTHON) -m tests.docker29 $$store \
	  $(PYTHON) -m pytest -n $(WORKERS) --timeout 600 tests/unit/engine/docker $(ARGS) || exit; done
	$(PYTHON) -m tests.docker29 containerd $(PYTHON) -m pytest -n $(WORKERS) --timeout 1500 $(SAME_IMAGE) $(ARGS)

# What is found is printed as an example to paste above the test.
fuzz: SECONDS ?= 300
fuzz:
	@scripts/setup test
	LINEAL_FUZZ=$(SECONDS) $(PYTHON) -m pytest -n $(WORKERS) -p tests.fuzz -m hypothesis --hypothesis-profile fuzz \
	  --timeout $$(($(SECONDS) + 600)) $(ARGS)

# Nothing is written into the checkouts, and no network is used.
corpus:
	@scripts/setup test
	@$(PYTHON) -m tests.tools.corpus "$(DIR)" $(ARGS)

lint:
	@scripts/setup lint
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo --no-cache
	.venv/bin/shellcheck --external-sources $(SHELL_SCRIPTS)
	.venv/bin/yamllint --strict $(YAML)
	.venv/bin/actionlint -shellcheck .venv/bin/shellcheck $(WORKFLOWS)
	.venv/bin/zizmor --quiet --offline --config .github/zizmor.yml $(WORKFLOWS) $(wildcard action.yml build/action.yml build-push/action.yml setup/action.yml)
	$(PYTHON) -m tests.tools.schemas
	$(PYTHON) -m tests.tools.errors

cluster:
	@scripts/setup cluster
	@scripts/cluster

sops:
	@scripts/setup sops
	@scripts/sops

cosign:
	@scripts/setup cosign
	@scripts/cosign

sigstore:
	@scripts/setup sigstore
	@scripts/sigstore

controllers:
	@scripts/setup controllers
	@scripts/controllers

registries:
	@scripts/setup registries
	@scripts/registries

docker29:
	@scripts/setup docker29
	@scripts/docker29

bench:
	@scripts/setup bench
	$(PYTHON) -m bench $(ARGS)
