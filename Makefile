# Everything a contributor types; `make` alone lists it.
# The environment lives in .venv. Each stamp below stands for one finished installation step, so
# that a second call starts at once and touches no network.

SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
SEEDS := 0,1,2
JOBS := 2
MINUTES := 180
CELLS :=
FG_CELLS :=
# A file stays in one process, for its fixtures' sake. In the order of names: by number of tests, the
# few long tests that start processes of their own would come last, and one worker would idle.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help quickstart demo test test-all campaign lint format docs embedded-table one-backbone-table \
  docs-version readme constraints build dist notebook clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.runtime ## See CLIP adapt to sketches of unseen classes, on a CPU, in minutes
	@$(BIN)/sketchclip quickstart

demo: $(VENV)/.search ## Draw in a browser and see the photos found, on the embedded benchmark
	@$(BIN)/sketchclip demo

# All: 83 minutes on two busy cores. `make embedded-table SEEDS=0 CELLS=frozen,b_lin,b_ip,ours
# FG_CELLS=fg_frozen,b_fg_lin,b_fg_ip,fg_ours` takes 3 minutes.
embedded-table: $(VENV)/.runtime ## Every CLIP row of the paper and its ablations on the embedded benchmarks
	$(BIN)/sketchclip ablate experiments/embedded/category.yaml --seeds $(SEEDS) --jobs $(JOBS) \
	  --cells "$(CELLS)" --output runs/embedded/category
	$(BIN)/sketchclip ablate experiments/embedded/fine_grained.yaml --seeds $(SEEDS) --jobs $(JOBS) \
	  --cells "$(FG_CELLS)" --output runs/embedded/fine_grained
	$(BIN)/sketchclip table runs/embedded -o runs/embedded/tables

# Resumed where it stopped. Real photos run where docs/earlier/index.md has laid them out.
ONE := runs/one_backbone
one-backbone-table: $(VENV)/.runtime ## Every row of the paper's table on one encoder, with tests and costs
	$(BIN)/sketchclip ablate experiments/one_backbone/category.yaml --seeds $(SEEDS) --jobs $(JOBS) \
	  --cells "$(CELLS)" --output $(ONE)/doodles
	$(BIN)/sketchclip ablate experiments/one_backbone/fine_grained.yaml --seeds $(SEEDS) \
	  --jobs $(JOBS) --cells "$(FG_CELLS)" --output $(ONE)/emoji_pairs
	test -d $(ONE)/small || { rm -rf $(ONE)/small.partial; \
	  $(BIN)/python tools/small_sketches.py $(ONE)/small.partial && mv $(ONE)/small.partial $(ONE)/small; }
	$(BIN)/sketchclip ablate experiments/one_backbone/fine_grained.yaml --seeds $(SEEDS) \
	  --jobs $(JOBS) --cells "$(FG_CELLS)" --output $(ONE)/small_sketches -- --data.root $(ONE)/small
	! test -d data/quickdraw_caltech || \
	  $(BIN)/sketchclip ablate experiments/one_backbone/photos.yaml --seeds 0 --jobs $(JOBS) \
	  --cells "$(CELLS)" --output $(ONE)/photos
	for data in doodles emoji_pairs small_sketches photos; do \
	  ! test -d $(ONE)/$$data || $(BIN)/sketchclip table $(ONE)/$$data --order --cost \
	  -o $(ONE)/tables/$$data || exit; done

readme: $(VENV)/.runtime ## Rewrite README's tables from the figures kept in results/
	$(BIN)/python tools/readme_table.py
	$(BIN)/python tools/what_runs.py

test: $(VENV)/.dev ## Run the fast tests and all doctests
	$(BIN)/pytest $(PARALLEL) -m "not slow"

test-all: $(VENV)/.dev ## Run every test
	$(BIN)/pytest $(PARALLEL)

campaign: $(VENV)/.dev ## Try damaged inputs, interruptions and faults for MINUTES (180), and resume
	$(BIN)/python -m tools.campaign --minutes $(MINUTES) --output runs/campaign

lint: $(VENV)/.dev ## Check style, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## Fix style and formatting in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-version: $(VENV)/.docs ## Commit the documentation of VERSION=0.1 to the branch gh-pages, as latest
	NO_MKDOCS_2_WARNING=1 PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/mike deploy --update-aliases $(VERSION) latest
	$(BIN)/mike set-default latest

# The resolver sees every Python and platform at once, so one file serves all of them. The comments
# at the head of the old file are kept; a failed run leaves the old file as it was.
constraints: $(VENV)/.python ## Pin the newest releases that pyproject.toml allows
	@$(BIN)/python -m pip install --quiet uv
	@set -eu -o pipefail; trap 'rm -f constraints.tmp' EXIT; \
	{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 --upgrade \
	    --no-python-downloads --quiet --no-header --no-annotate; } > constraints.tmp; \
	mv constraints.tmp constraints.txt

build: $(VENV)/.dev ## Build the source archive and the wheel into dist/
	$(BIN)/python -m build

# What a release is made of: its wheel comes from its source archive, as on any machine, and runs the
# quickstart in an environment without this folder and without a network.
dist: $(VENV)/.dev ## Build both anew and test the wheel: contents, licences, quickstart offline
	rm -rf dist
	$(BIN)/python -m build
	SKETCHCLIP_WHEEL="$$(echo dist/*.whl)" $(BIN)/pytest tests/repository/test_wheel.py

notebook: $(VENV)/.dev ## Execute the notebook of the documentation and keep its outputs
	$(BIN)/python -m tools.execute_notebook

clean: ## Remove built files and caches; the environment stays
	rm -rf build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# --- environment ---------------------------------------------------------------------------------

# $(call install,REQUIREMENT,WHAT,HOW LONG): pip's own report is hundreds of lines, and its quiet
# mode is silent for minutes, so only the large downloads and the last step are shown.
define install
	@echo "==> Installing $(2) into $(VENV): $(3)"
	@set -eu -o pipefail; \
	PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
	  -c constraints.txt -e "$(1)" \
	| { grep --line-buffered -oE 'Downloading .*\([0-9]{2,}\.[0-9]+ MB\)|Installing collected packages' || true; }
	@touch $@
endef

$(VENV)/.python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "sketchclip needs Python 3.10 or newer; '$(PYTHON) --version' says:" \
	    "$$("$(PYTHON)" --version 2>&1 | head -n 1)" >&2; \
	  echo "Name another one, for example: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(PINS) | $(VENV)/.python
	$(call install,.,sketchclip and PyTorch,once; about 5 minutes and 3 GB to download)

$(VENV)/.search: $(VENV)/.runtime
	$(call install,.[search],search and its page,once; under a minute)

$(VENV)/.dev: $(VENV)/.runtime
	$(call install,.[dev],the development tools,once; under a minute)

$(VENV)/.docs: $(VENV)/.runtime
	$(call install,.[docs],the documentation tools,once; under a minute)
