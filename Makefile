# `make help` lists the targets. Each sets up what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := uv==0.13.9
PORT   ?= 8000

.DEFAULT_GOAL := help
.PHONY: help book test check pdf pdf-check pdf-packages notebooks \
        notebooks-test site lecture serve style lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{printf "  make %-15s %s
", $$1, $$2}'

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

lock:  ## resolve requirements.in into requirements.txt (needs uv)
	uv pip compile --universal --python-version 3.11 --upgrade --no-header \
	  requirements.in -o requirements.txt

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
