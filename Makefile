# Everything that is needed is set up by the target that needs it, once: `make run`, `make test`.

PYTHON ?= python3
RECIPE ?= recipes/tiny.toml
ARGS ?=
INSTALLED := .venv/.installed

.PHONY: help run test check clean

help:
	@echo "make run     run the method on real data (RECIPE=$(RECIPE), ARGS= e.g. --until=sft --seed=2)"
	@echo "make test    run the tests (ARGS= for pytest)"
	@echo "make check   check the style of the code"
	@echo "make clean   remove the environment and caches, not the runs"
	@echo "The first of them sets up .venv with PYTHON=$(PYTHON) (3.11, 3.12 or 3.13)."

run: $(INSTALLED)
	.venv/bin/in2x run $(RECIPE) $(ARGS)

test: $(INSTALLED)
	.venv/bin/python -m pytest $(ARGS)

check: $(INSTALLED)
	.venv/bin/ruff check src tests

clean:
	rm -rf .venv .pytest_cache .ruff_cache build src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "in2x needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is" "$$($(PYTHON) --version 2>&1 | head -1)"; \
		echo "Name another one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[dev]"
	@touch $@
