# `make help` lists what there is. Needs make and Python 3.11 to 3.13 (with its venv module); everything else goes into .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
# Further versions of Python on which `make test` runs the fast tests, where they are found: make test PYTHONS="3.12 3.13"
PYTHONS :=
PY := $(VENV)/bin/python
# Tests of a file share what it starts; files keep the order that tests/conftest.py gives them.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
TESTS := -m "not long"
MUSICREC := $(VENV)/bin/musicrec
export PYTHONUNBUFFERED := 1
# Tests start hundreds of processes: what these import is compiled once, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/run.stamp ## the whole path: sample logs, notebook, artifacts, three services, seven questions
	@$(MUSICREC) demo

# Types are checked on one core; meanwhile the other one compiles what all tests use.
lint: $(VENV)/dev.stamp ## lint, types and import rules
	@$(PY) -m tests.compiled & $(VENV)/bin/ruff check . && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports

test: lint ## [PYTHONS="3.12 3.13"]: lint, types, import rules and all tests but the long ones; with further Pythons the fast ones
	@for version in $(PYTHONS); do test -e $(VENV)/bin/python$$version && continue; \
	  for python in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
	    if "$$python" -c '' 2>/dev/null; then $(MAKE) --no-print-directory fast VENV=.venv-$$version PYTHON="$$python" || exit 1; break; fi; \
	  done; done
	@$(PY) -m pytest $(PARALLEL) $(TESTS)

test-all: TESTS := --cov=musicrec --cov-report=term:skip-covered
test-all: test ## the same with the long tests, as the build server runs it; and how much of the package the fast tests reach

fast: $(VENV)/dev.stamp ## the tests that need neither services nor notebook
	@$(PY) -m pytest $(PARALLEL) -m "not slow"

chaos: $(VENV)/dev.stamp ## [MINUTES=30]: attack real services under load; one table of what was lost, wrong or failed, and when it was whole again
	@$(PY) -m tests.chaos --minutes $(or $(MINUTES),30)

check: lint fast ## before a commit: lint, types, import rules and the tests that need neither services nor notebook

notebook: $(VENV)/run.stamp ## DATA=<folder with the logs> [OUT=<where artifacts go>]: run the notebook on any logs
	@test -n "$(DATA)" || { echo 'Which logs? For example: make notebook DATA=data/sample' >&2; exit 2; }
	@$(MUSICREC) notebook --data "$(DATA)" $(if $(OUT),--out "$(OUT)")

lab: $(VENV)/lab.stamp ## open the notebook in JupyterLab
	@$(VENV)/bin/jupyter lab recommendations.ipynb

services: $(VENV)/run.stamp ## start the three services and the page, and keep them until Ctrl-C
	@$(MUSICREC) serve --page

sample: $(VENV)/run.stamp ## write the generated sample logs to data/sample
	@$(MUSICREC) datasets make sample

data: $(VENV)/run.stamp ## download the real logs to data/yandex (1.3 GB, goes on where it stopped)
	@$(MUSICREC) datasets download yandex

tune: $(VENV)/run.stamp ## [DATA=<folder>] [MINUTES=30]: tune models and ranker, print config.ini lines; goes on where it stopped
	@$(MUSICREC) tune $(if $(DATA),--data "$(DATA)") --minutes $(or $(MINUTES),30)

docs: $(VENV)/dev.stamp ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build -q --strict && echo "The documentation is in site/index.html."

wheel: $(VENV)/dev.stamp ## build the package into dist/
	@$(PY) -m build

clean: ## remove what was made: sample, artifacts, work, caches and logs; .venv and downloaded logs stay
	rm -rf data/sample artifacts work var site dist catboost_info test_service.log .hypothesis .mypy_cache .ruff_cache .import_linter_cache .coverage
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A stamp is as new as the packages it stands for: a second run finds nothing to do.
$(VENV)/run.stamp: requirements.txt constraints.txt pyproject.toml $(VENV)/bin/python
	@$(call installed,requirements.txt)

$(VENV)/lab.stamp: requirements-lab.txt constraints.txt pyproject.toml $(VENV)/bin/python
	@$(call installed,requirements-lab.txt)
	@touch $(VENV)/run.stamp

$(VENV)/dev.stamp: requirements-dev.txt constraints.txt pyproject.toml $(VENV)/bin/python
	@$(call installed,requirements-dev.txt)
	@touch $(VENV)/run.stamp

$(VENV)/bin/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "No Python 3.11, 3.12 or 3.13 found (python3 is `python3 --version 2>&1`). Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; fi; \
	echo "Making $(VENV) with `$$found --version`"; \
	"$$found" -m venv $(VENV) >$(VENV).log 2>&1 || { rm -rf $(VENV); \
	  echo "$$found cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv. It said:" >&2; tail -3 $(VENV).log >&2; rm -f $(VENV).log; exit 1; }; \
	rm -f $(VENV).log

define installed
echo "Installing the packages of $(1) into $(VENV): once, a few minutes ..."; \
began=`date +%s`; \
$(PY) -m pip install -qq --disable-pip-version-check --retries 3 -r $(1) \
  || { echo "The packages of $(1) could not be installed; the reason stands above. Check the network and run make again." >&2; exit 1; }; \
echo "Packages installed in $$((`date +%s` - began)) s."; \
touch $@
endef

.PHONY: help demo lint test test-all fast chaos check notebook lab services sample data tune docs wheel clean
.DELETE_ON_ERROR:
