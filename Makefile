# Every target makes what it needs, on a fresh Debian 12 with Python 3.11, and is quick the second time.
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
DEBIAN := chromium docker-compose influxdb mosquitto nginx-light openssh-client openssh-server openssl strace systemd
SERVICES := influxdb mosquitto nginx ssh

.PHONY: install uninstall help setup servers demo run test test-homeassistant check bench torture dashboards schemas screenshots lock audit sbom peers clean

help:
	@echo "make demo | run | install | test | check | bench | torture"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	@python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==$(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The real servers and tools that the tests talk to, each in a process of its own: Debian is kept from running them as services too.
servers:
	@for tool in /usr/bin/chromium /usr/bin/docker-compose /usr/bin/influxd /usr/sbin/mosquitto /usr/sbin/nginx /usr/sbin/sshd /usr/bin/openssl /usr/bin/strace /usr/bin/systemd-analyze; do [ -x $$tool ] || missing=1; done; \
	if [ -n "$$missing" ]; then \
	  new=$$(for unit in $(SERVICES); do [ -e /lib/systemd/system/$$unit.service ] || echo $$unit; done); \
	  [ -d /run/systemd/system ] && [ -n "$$new" ] && $(SUDO) systemctl mask --quiet $$new; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends $(DEBIAN); code=$$?; \
	  [ -d /run/systemd/system ] && [ -n "$$new" ] && { $(SUDO) systemctl unmask --quiet $$new; $(SUDO) systemctl disable --quiet $$new; }; \
	  exit $$code; \
	fi

demo: setup
	$(BIN)/hub demo

run: setup
	$(BIN)/hub run

# As a service of this machine (a Raspberry Pi, any Debian 12): systemd/install.sh says what it does.
install:
	@python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	$(SUDO) systemd/install.sh install

uninstall:
	$(SUDO) systemd/install.sh uninstall $(if $(PURGE),--purge)

test: setup servers
	$(BIN)/python -m pytest -n 2 -m "not torture and not homeassistant"

# Home Assistant itself, in a folder of Debian 13: ten minutes for the first time, and as root.
test-homeassistant: setup servers
	@[ -x /usr/sbin/debootstrap ] || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq debootstrap; }
	$(SUDO) tests/homeassistant/build.sh .homeassistant/debian
	$(SUDO) $(BIN)/python -m pytest -m homeassistant tests/homeassistant

torture: setup servers
	$(BIN)/python -m pytest -n 2 -m torture --timeout 3600

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the benchmarks stand beside, each in a venv of its own.
PEERS := .venv-peers
$(PEERS)/%/.ready: bench/peers/%.txt
	@python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	python3 -m venv $(PEERS)/$*
	$(PEERS)/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

peers: $(PEERS)/freqtrade/.ready $(PEERS)/homeassistant/.ready

bench: setup servers peers
	$(BIN)/python -m bench $(ROWS)

# The boards are written in Python (grafana/boards) and committed as the JSON that Grafana reads.
dashboards: setup
	$(BIN)/python -m grafana.boards

# JSON Schemas and the AsyncAPI document, from hub/messages.py.
schemas: setup
	$(BIN)/python -m hub.runtime.asyncapi docs

screenshots: setup servers
	$(BIN)/python -m tests.dashboard.screenshots docs/images

# Where the parts come from: what is known against them, and a list of them (CycloneDX).
SUPPLY := .venv-supply
$(SUPPLY)/.ready: requirements/supply.txt
	@python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	python3 -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/supply.txt
	touch $@

audit: $(SUPPLY)/.ready
	$(SUPPLY)/bin/python .ci/audit.py $(SUPPLY)/bin/pip-audit requirements/run.txt requirements/trainer.txt

sbom: $(SUPPLY)/.ready
	mkdir -p dist
	for part in run trainer; do PYTHONWARNINGS=ignore $(SUPPLY)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible -o dist/tickerml-$$part.cdx.json requirements/$$part.txt; done

# Every part with its hash, for all kinds of machines: run (a Pi), trainer (a PC, torch with CUDA), dev (the tests), supply (the two above).
TORCH := 2.13.0
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate
lock:
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --group dev --extra dashboard --extra trainer-but-torch pyproject.toml -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt --extra dashboard pyproject.toml -o requirements/run.txt
	echo torch==$(TORCH) | $(COMPILE) -c requirements/dev.txt -c - --extra trainer --extra dashboard pyproject.toml -o requirements/trainer.txt
	$(COMPILE) --group supply -o requirements/supply.txt

clean:
	rm -rf $(VENV) $(SUPPLY) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
