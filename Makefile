# The two commands of the README are `make demo` and `make test`. Each does all of its own set-up.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint unit models conformance clean
.PHONY: peers reader-proof test-training
.PHONY: test-fleet test-killed test-scale test-image
.PHONY: test-browser kiosk-proof kiosk-picture
.PHONY: install uninstall test-keys test-threats test-system test-arm64 lock check-aarch64 sbom audit release memory

help:
	@echo "make demo         one whole verification before an emulated camera, and its offline verification"
	@echo "make test         linters, types, import contracts and tests"
	@echo "make install      puts the product on this box (root); make uninstall takes it off and leaves ledger and keys"
	@echo "make test-browser the kiosk page in Chromium: every language, every scenario (long; pictures in reports/kiosk)"
	@echo "make kiosk-proof  how soon and how heavy the page is; two hundred clients at once"
	@echo "make test-system  installs and boots whole systems in containers (root, debootstrap, systemd-container)"
	@echo "make test-keys    key stores on a TPM (swtpm) and a PKCS #11 token (SoftHSM2)"
	@echo "make test-threats every test that the threat model names"
	@echo "make test-fleet   ten boxes in network namespaces, rolled out to by Ansible (root)"
	@echo "make test-image   a disk for 64-bit ARM is built, looked into and started in an emulated machine (root)"
	@echo "make test-killed  provisioning killed at a hundred moments; make test-scale: 100,000 enrolments"
	@echo "make test-arm64   unit and document tests in an arm64 system under qemu (root, qemu-user-static)"
	@echo "make check-aarch64  every locked wheel for 64-bit ARM resolves; make lock writes the locks anew"
	@echo "make sbom audit   bill of materials (CycloneDX), known vulnerabilities of what a box installs"
	@echo "make release      a release for one kind of box (BOX=py3.13-aarch64), ready to be signed"
	@echo "make memory       what the three processes take (PSS), models loaded"
	@echo "make reader-proof what the document reader must show (an hour); make peers: PassportEye beside it"
	@echo "make test-training  what trains the models is tested where torch is (own environment, no GPU needed)"
	@echo "make conformance  our face landmarks beside MediaPipe's Face Mesh (own environment)"

# --- set-up: a virtual environment with what setup.py names, and the models that come from elsewhere ---

$(VENV)/.ready: setup.py provisioning/prepare.sh
	provisioning/prepare.sh $(PYTHON) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,demo,evaluate]'
	@touch $@

$(VENV)/.models: $(VENV)/.ready models/manifest.toml
	$(BIN)/vouchbox models install
	@touch $@

models: $(VENV)/.models

demo: $(VENV)/.models
	$(BIN)/vouchbox demo

test: $(VENV)/.models lint unit

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What waits in real time goes first, so that the quick tests fill the time beside it.
unit: $(VENV)/.models
	$(BIN)/python -m pytest -n 3 --dist loadfile tests/scenarios tests/processes tests/airgap tests/examples tests

conformance: $(VENV)/.models
	tests/conformance/run.sh $(PYTHON)

# torch is nothing that a box or a quick test needs.
.train/.ready: setup.py $(VENV)/.models
	$(PYTHON) -m venv .train
	.train/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,training]'
	@touch $@

test-training: .train/.ready
	.train/bin/python -m pytest tests/training

# --- what people see ---

$(VENV)/.browser: $(VENV)/.models
	provisioning/prepare.sh $(PYTHON) $(VENV) chromium fonts-noto-core fonts-noto-cjk espeak-ng
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[browser]'
	@touch $@

test-browser: $(VENV)/.browser
	VOUCHBOX_SCREENSHOTS=reports/kiosk $(BIN)/python -m pytest tests/browser tests/gateway/test_voices.py

kiosk-proof: $(VENV)/.browser
	$(BIN)/python -m tests.browser.measure

kiosk-picture: $(VENV)/.browser
	$(BIN)/python -m tests.browser.picture docs/kiosk.png

# --- the box ---

install:
	provisioning/install.sh

uninstall:
	provisioning/install.sh uninstall

# What speaks to a TPM and to PKCS #11 tokens, and software that stands in for both; tpm2-pytss is compiled.
$(VENV)/.keys: $(VENV)/.models
	provisioning/prepare.sh $(PYTHON) $(VENV) swtpm softhsm2 libtss2-dev gcc python3-dev pkg-config
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[tpm,pkcs11]'
	@touch $@

test-keys: $(VENV)/.keys
	$(BIN)/python -m pytest tests/notary/keystore tests/provisioning/test_hardware.py

# Every test that a row of docs/threat-model.md names (root: some boot whole systems).
test-threats: $(VENV)/.keys
	$(BIN)/python -m pytest -m 'system or not system' --timeout=1500 $$($(BIN)/python -m tests.test_threat_model)

test-system: $(VENV)/.models
	$(BIN)/python -m pytest tests/system -m system -s --durations=12 --timeout=1500

# Ansible has an environment of its own: what runs a fleet is not what runs a box.
test-fleet: $(VENV)/.models
	tests/fleet/run.sh $(BIN)/python

test-image: $(VENV)/.models
	VOUCHBOX_IMAGE=1 $(BIN)/python -m pytest tests/image -m system -s --timeout=7200

test-killed: $(VENV)/.models
	VOUCHBOX_KILLS=100 $(BIN)/python -m pytest tests/provisioning/test_killed.py --timeout=3600

test-scale: $(VENV)/.models
	$(BIN)/python -m tests.scale.simulate
	VOUCHBOX_BOXES=100000 $(BIN)/python -m pytest tests/scale --timeout=3600

test-arm64: $(VENV)/.ready
	$(BIN)/python -m tests.system.arm64

memory: $(VENV)/.models
	$(BIN)/python -m pytest tests/processes/test_memory.py -s

# --- supply chain ---

# An environment of its own: a system's older pip holds another Python's wheels against the Python that it runs under.
.venvs/supply/.ready: provisioning/prepare.sh
	provisioning/prepare.sh $(PYTHON) .venvs/supply
	.venvs/supply/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=26' cyclonedx-bom pip-audit
	@touch $@

lock: .venvs/supply/.ready
	.venvs/supply/bin/python requirements/lock.py lock

check-aarch64: .venvs/supply/.ready
	.venvs/supply/bin/python requirements/lock.py check --arch aarch64

sbom: .venvs/supply/.ready
	@mkdir -p dist
	@for lock in requirements/box-*.lock; do \
	  .venvs/supply/bin/python requirements/bill.py $$lock dist/$$(basename $$lock .lock).cdx.json || exit 1; done

# For one kind of box: its wheels, the models and the bill of materials, in a folder that the authority signs.
BOX ?= py3.13-aarch64
release: .venvs/supply/.ready $(VENV)/.models
	provisioning/make_release.sh $(BOX) dist/release-$(BOX)

audit: .venvs/supply/.ready
	@for lock in requirements/box-*.lock; do \
	  .venvs/supply/bin/pip-audit --progress-spinner off --strict --disable-pip --require-hashes -r $$lock || exit 1; done

# The document reader: what it must show, and the peer that it is measured beside (an environment of its own).
peers:
	tests/conformance/peers.sh $(PYTHON)

reader-proof: $(VENV)/.models
	tests/conformance/reader.sh $(BIN)

clean:
	rm -rf $(VENV) .train build dist .mypy_cache .ruff_cache .pytest_cache
