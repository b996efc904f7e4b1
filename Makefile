# Every target makes what it needs, on a fresh Debian 12 with Python 3.11, and is quick the second time.
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
DEBIAN := mosquitto openssl strace

.PHONY: help setup servers demo run test check bench torture lock clean

help:
	@echo "make demo | run | test | check | bench | torture"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	@python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The real servers and tools that the tests talk to.
servers:
	@for tool in /usr/sbin/mosquitto /usr/bin/openssl /usr/bin/strace; do [ -x $$tool ] || missing=1; done; \
	if [ -n "$$missing" ]; then $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN); fi

demo: setup
	$(BIN)/hub demo

run: setup
	$(BIN)/hub run

test: setup servers
	$(BIN)/python -m pytest -n 2 -m "not torture"

torture: setup servers
	$(BIN)/python -m pytest -n 2 -m torture --timeout 3600

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup servers
	$(BIN)/python -m bench $(ROWS)

lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --group dev pyproject.toml -o requirements/dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
