# Everything runs from here: `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
GPU ?=
TORCH ?= cpu
OPTIONS ?=
REASON ?=
# By the environment, so that a shell takes quotes in it for what they are, and dollar signs as they were typed.
override REASON := $(value REASON)
export REASON
BASELINE ?=
# Runs in a baseline: five, and ten on a GPU, see smaller losses than the three it takes (python -m bench selftest --curve).
FRESH ?=
RUNS ?= $(if $(GPU),10,5)
# A switch that is set to 0 is off.
override GPU := $(filter-out 0,$(GPU))
override ALL := $(filter-out 0,$(ALL))
override FRESH := $(filter-out 0,$(FRESH))
# Six compilations by torch.compile take two minutes on two cores; ALL=1 measures them on a CPU too.
SWEEP := $(if $(GPU)$(ALL),,-k "not torch_compile")
# Two processes share the tests of a CPU, and one per GPU where there are several (fixtures/crew.py).
WORKERS := $(if $(GPU),-n auto,-n 2)
# The tests of torch.compile's masks compile as well, for more than a minute: ALL=1 runs them on a CPU too, and so does CI.
TESTS ?= tests/
PROVED := $(if $(GPU)$(ALL),,-k "not (test_masks and torch_compile)")
# An interpreter that has everything already (PY=python3) skips the installation.
PY ?= $(VENV)/bin/python
# Python makes no environment in a link, and CI links to one on the runner's disk: what the link leads to is given.
PLACE = "$(or $(realpath $(VENV)),$(VENV))"
READY := $(if $(filter $(VENV)/bin/python,$(PY)),$(VENV)/.ready$(if $(GPU),-gpu))

.DEFAULT_GOAL := help
.PHONY: help install bench test test-tensorrt-api lint baseline harness clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*?## /\t/' | expand -t 20

install: $(READY) ## make .venv with the pinned requirements (GPU=1: with CUDA and TensorRT)

bench: $(READY) ## time and judge every precision here; writes benchmark.json (GPU=1, ALL=1: torch.compile too, OPTIONS="--images DIR")
	$(PY) -m pytest bench/ --benchmark-json benchmark.json --benchmark-columns median,iqr,ops,rounds $(SWEEP) $(OPTIONS)

test: $(READY) ## prove the suite: unit tests, and the masks of real engines (GPU=1, ALL=1: torch.compile too)
	$(PY) -m pytest $(TESTS) --batch-sizes 1 $(WORKERS) $(PROVED) $(OPTIONS)

test-tensorrt-api: $(READY) ## prove every TensorRT 10 and 11 name the backends use, against the real bindings
	$(PY) -m tests.bench.trt_api.bindings
	$(PY) -m pytest tests/bench/test_tensorrt_api.py

lint: $(VENV)/.ready ## ruff, strict mypy, the workflows and the scripts that CI runs
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.gitlab-ci docs/gitlab-ci.yml
	$(VENV)/bin/zizmor --offline --quiet .github
	$(VENV)/bin/shellcheck .ci/*

baseline: $(READY) ## store several runs as this machine's baseline (REASON="...", RUNS=5, FRESH=1: engines built anew for each, BASELINE=FILE)
	for run in $$(seq $(RUNS)); do $(if $(FRESH),rm -rf .bench_cache/baseline-$$run;) \
	  $(PY) -m pytest bench/test_inference.py -q --benchmark-json baseline-run-$$run.json $(SWEEP) $(if $(FRESH),--cache-dir .bench_cache/baseline-$$run) $(OPTIONS) || exit $$?; done
	$(PY) -m bench baseline accept $$(seq -f baseline-run-%g.json $(RUNS)) --reason "$$REASON" $(if $(BASELINE),--baseline "$(BASELINE)")
	rm -f $$(seq -f baseline-run-%g.json $(RUNS))

harness: $(READY) ## compare this suite's FPS with a bare loop and with OpenVINO's benchmark_app, side by side
	$(PY) -m bench.harness $(OPTIONS)

clean: ## remove the environment, the engine cache and what runs left
	rm -rf $(VENV) .bench_cache .benchmarks .mypy_cache .ruff_cache .pytest_cache benchmark.json benchmark.unfinished.json

$(VENV)/.ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(PLACE)
	@rm -f $(VENV)/.ready-gpu
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'pip==26.3'
ifneq ($(TORCH),index)
	@$(VENV)/bin/python -m pip install --dry-run --quiet --report - "$$(grep ^torch= requirements.txt)" > $(VENV)/torch.json
	@if grep -q '"nvidia-' $(VENV)/torch.json; then \
	  echo "this index's torch brings CUDA along: taking PyTorch's own CPU build instead"; \
	  $(VENV)/bin/python -m pip install --quiet uv && \
	  $(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --torch-backend cpu "$$(grep ^torch= requirements.txt)" || \
	  { echo "PyTorch's CPU build could not be had; make TORCH=index takes this index's, with several GB of CUDA" >&2; exit 1; }; fi
endif
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	@touch $@

# What was not made for CUDA is cleared first: pip would keep PyTorch's CPU build and ONNX Runtime's, whose versions fit.
$(VENV)/.ready-gpu: requirements.txt requirements-dev.txt requirements-gpu.txt requirements-torch2trt.txt
	$(PYTHON) -m venv $(if $(wildcard $@),,--clear) $(PLACE)
	sed '/^onnxruntime==.*>= "3.11"/d' requirements.txt > $(VENV)/requirements.txt
	$(VENV)/bin/python -m pip install --quiet -r $(VENV)/requirements.txt -r requirements-dev.txt -r requirements-gpu.txt
	$(VENV)/bin/python -m pip install --quiet --no-build-isolation -r requirements-torch2trt.txt
	@touch $@ $(VENV)/.ready
