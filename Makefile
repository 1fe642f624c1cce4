# Two commands do everything on a fresh machine: `make demo` runs keeld against the simulated site, `make test` tests it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint types layers wheel bench lock clean

demo: $(VENV)/.runtime
	$(BIN)/keeld demo $(DEMO_ARGS)

test: $(VENV)/.dev
	tests/run.sh $(BIN)/python $(TEST_ARGS)

check: lint types layers

lint: $(VENV)/.dev
	$(BIN)/ruff format --check keeld tests bench
	$(BIN)/ruff check keeld tests bench

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel --no-isolation

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(BENCH_ARGS)

# Each stamp is the hash-locked set that was installed; a changed lock installs again.
$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	@# Without the package python3-venv this leaves a half-made environment; it is made again once that is installed.
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

lock:
	cd requirements && for set in runtime build dev; do \
	  uv pip compile --quiet --upgrade --python-version 3.11 --universal --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --custom-compile-command "make lock" $$set.in --output-file $$set.txt; done

clean:
	rm -rf $(VENV) dist build
