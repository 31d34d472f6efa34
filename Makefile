# Everything runs in .venv, which is made here and uses no package from outside; PYTHON=... chooses the interpreter.
VENV    := .venv
BIN     := $(VENV)/bin
PYTHON  ?=
ARGS    ?=
JOBS    ?= auto

# A package of the machine or of the user must not stand in for a missing one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PYTHONNOUSERSITE := 1

.PHONY: help search test check docs screenshots format bench gpu clean
.DEFAULT_GOAL := help

help:
	@echo "make search   install, run a search on scikit-learn's digits, export the best trial"
	@echo "make test     run all tests                     (ARGS='-m \"not slow\"' for the quick ones, JOBS=0 one by one)"
	@echo "make check    formatting, lint, types, layers, documentation   (make format repairs the first)"
	@echo "make docs     build the documentation into docs/_build/html"
	@echo "make screenshots   take the pictures of the documentation from real runs"
	@echo "make bench    run the benchmarks, draw the plots  (ARGS='search' for one, ARGS='search -- --pairs 3')"
	@echo "make gpu      run the GPU tests and the GPU benchmark; falls back to the CPU"
	@echo "make clean    remove .venv and the caches; keeps studies.db, runs and exports"

search: $(VENV)/.installed
	$(BIN)/tuner search --space mlp.yaml
	$(BIN)/tuner best

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict tuner
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs

screenshots: $(VENV)/.installed-dev
	$(BIN)/python docs/screenshots.py

# No network is needed; a warning (a dead link, a page that no table of contents has) is an error.
docs: $(VENV)/.installed-dev
	$(BIN)/python docs/make_reference.py --check
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/_all.py $(ARGS)

# benchmarks/gpu.py takes --device and prints one table. pytest's exit status 5 means that no test has the mark.
gpu: $(VENV)/.installed-dev
	@device=$$($(BIN)/python -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")') || exit 1; \
	if [ $$device = cuda ]; then \
		$(BIN)/python -m pytest -m gpu $(ARGS) || [ $$? -eq 5 ] || exit 1; \
	else \
		echo "No CUDA device here: the GPU tests are left out, the benchmark runs on the CPU."; \
	fi; \
	if [ -f benchmarks/gpu.py ]; then $(BIN)/python benchmarks/gpu.py --device $$device; fi

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find tuner tests -name __pycache__ -prune -exec rm -rf {} +

# ------------------------------------------------------------------------------------------------------------- install

# uv takes 20 s where pip takes 95 s (2 cores, the CUDA build of torch); without it pip does the same. Bytecode is made
# here, 20 s more, as pip does: without it `import torch` takes 3.3 s instead of 1.7 where nobody may write it later.
define install
	@uv=$$(command -v uv 2>/dev/null); \
	"$$uv" --version >/dev/null 2>&1 || uv=$(BIN)/uv; \
	"$$uv" --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --constraint constraints.txt uv || true; \
	echo "Installing $(1) into $(VENV)"; \
	{ "$$uv" --version >/dev/null 2>&1 \
		&& "$$uv" pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '$(1)'; } \
	|| $(BIN)/python -m pip install --constraint constraints.txt --editable '$(1)'
	@$(BIN)/python -m compileall -q tuner
endef

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(call install,.)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	$(call install,.[dev])
	@touch $(VENV)/.installed $@

# An environment that works is kept. Each candidate is run, because a name on the PATH may be a launcher of nothing.
$(VENV)/.created:
	@if $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then touch $@; exit 0; fi; \
	for python in $(or $(PYTHON),python3.12 python3.11 python3); do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Creating $(VENV) with $$python"; \
			"$$python" -m venv --clear $(VENV) && touch $@; exit $$?; \
		fi; \
	done; \
	echo "No Python >= 3.11 with venv among: $(or $(PYTHON),python3.12 python3.11 python3)." >&2; \
	echo "Install one (on Debian: python3 and python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
	exit 1
