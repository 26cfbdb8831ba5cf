# Two commands matter: `make run` and `make test`. Both make the environment in .venv first.
PYTHON ?= python3
VENV   ?= .venv
SOURCE ?=
PROFILE ?= default
ARGS   ?=
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.danqing-installed

.PHONY: run test quick lint types format bench gpu rtx faults compile constraints images clean help env

help:            ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

run: $(STAMP)    ## the whole line: pictures in, a registered model out (SOURCE=folder:PATH, PROFILE=debug, ARGS=…)
	$(BIN)/danqing run --profile $(PROFILE) $(if $(SOURCE),--source "$(SOURCE)") $(ARGS)

# Two at a time, files whole: most of a test's time goes into starting servers and waiting for them.
test: lint types ## style, types and every test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

quick: $(STAMP)  ## the tests that take seconds
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -m "not slow" $(ARGS)

lint: $(STAMP)   ## style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)   ## time this machine's CPU: benchmarks/results/cpu.md
	$(BIN)/python -m benchmarks.cpu

# Runs with the Python that has the GPU's torch, which need not be this environment's: make gpu GPU_PYTHON=python3
GPU_PYTHON ?= $(BIN)/python
gpu:             ## everything that only a GPU can tell, in one table
	$(GPU_PYTHON) -m benchmarks.gpu

rtx: $(STAMP)    ## every graph that a plan is made of, through TensorRT's compiler in every way (minutes, no GPU)
	DANQING_RTX=all $(BIN)/python -m pytest tests/unit/test_rtx.py $(ARGS)

faults: $(STAMP)  ## what callers meet while the server's parts are killed, its disk is full, its registry lies: a table
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest tests/serving/rollout $(ARGS)

compile: $(STAMP) ## pipelines/golden/*.yaml
	$(BIN)/python -m pipelines.compile

images:          ## the container images, with docker, podman or buildah (ARGS="cpu mlflow", ARGS=all)
	./scripts/images.sh $(ARGS)

constraints: $(STAMP) ## constraints.txt anew
	./scripts/lock-constraints.sh

env: $(STAMP)    ## only make the environment

# uv resolves in seconds what pip needs minutes for. It does not read pip's settings, so a wheel folder that pip is
# told of (PIP_FIND_LINKS, e.g. with a CPU build of torch) is handed on. Bytecode is compiled here: where Python may not
# write it (PYTHONDONTWRITEBYTECODE), each step's process would otherwise compile torch anew, five seconds a time.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"danqing needs Python 3.11 or newer, this is {v.major}.{v.minor}: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-}}" $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@

clean:           ## remove the environment and everything that runs left behind
	rm -rf $(VENV) .danqing data out
