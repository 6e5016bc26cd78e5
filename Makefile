# make demo    install, then the whole story on this machine
# make test    install, then the tests
# The rest: install, lint, bench NAME=…, docs, lock, clean.

SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench docs lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -3

install: $(STAMP)

# The stamp makes a second run quick: nothing is installed again until what is asked for changes.
$(STAMP): pyproject.toml constraints.txt scripts/make-venv.sh
	@scripts/make-venv.sh $(VENV)
	@touch $(STAMP)

demo: install
	$(BIN)/edgetime demo $(ARGS)

test: install
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every number that the README quotes, each by one command: make bench NAME=time_model ARGS=…
bench: install
	@if [ -z "$(NAME)" ]; then \
		echo "Name a benchmark, as in 'make bench NAME=time_model'. There are:" >&2; \
		grep -l '__main__' benchmarks/*.py benchmarks/*/__main__.py | sed -n 's|/__main__||; s|benchmarks/\([a-z].*\)\.py|  \1|p' | sort >&2; \
		exit 2; fi
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

docs: install
	$(BIN)/python -m docs.generate && $(BIN)/python -m docs.rooms

# Take the newest versions that agree, in an environment of its own, and pin them.
lock:
	@rm -rf $(VENV)-lock && UNPINNED=1 scripts/make-venv.sh $(VENV)-lock
	@{ sed -n '/^#/p' constraints.txt; $(VENV)-lock/bin/python -m pip freeze --all --exclude-editable --exclude pip | sort -f; } \
		> constraints.txt.new && mv constraints.txt.new constraints.txt && rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(VENV)-lock build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
