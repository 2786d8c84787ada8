# Two commands do everything, install steps included: `make design` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
COUNT ?= 30
TARGET ?= 0.65
OUT ?= designs

.PHONY: design test test-slow test-studio docs test-docs lint clean

.venv/base: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/tools: .venv/base
	$(BIN)/python -m pip install --quiet --editable '.[test,bo,vq]'
	touch $@

.venv/docs: .venv/base
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv/studio: .venv/base
	$(BIN)/python -m pip install --quiet --editable '.[test-studio]'
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } \
	    || { echo "chromium is missing: install it, for instance with apt-get install chromium" >&2; exit 1; }
	touch $@

design: .venv/base
	$(BIN)/microwright design --target $(TARGET) --count $(COUNT) --out $(OUT) --force

test: .venv/tools
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

test-slow: .venv/tools
	$(BIN)/python -m pytest -m slow --timeout 7200

test-studio: .venv/studio
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/studio tests/browser -m "not slow"

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python scripts/docs/check.py build/site

test-docs: .venv/tools
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/docs --numprocesses 2 --timeout 900

lint: .venv/tools
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist designs
