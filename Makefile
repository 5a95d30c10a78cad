# `make run` starts a gateway with a demo page, `make test` runs every test; `make` lists the rest.
# Each installs what it needs on a Debian machine with Rust, Node.js and root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
LOGS := $(TARGET)/test-logs
TOOLS := $(TARGET)/tools
CLIENT := $(TARGET)/client
BENCH := loadtest/bench/Cargo.toml
FUZZ := gateway/fuzz/Cargo.toml
# seconds of each fuzz target
FUZZ_SECONDS ?= 20

headline = @printf '\n== %s\n' '$(1)'
# The sum of cargo's `test result:` lines in a log.
count = @awk '/^test result:/ { runs++; passed += $$4; failed += $$6; ignored += $$8 } \
	END { printf "%s: %d passed, %d failed, %d ignored, in %d runs\n", "$(1)", passed, failed, ignored, runs }' $(2)

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# ---- run

.PHONY: run cluster client
run: linker client ## Build the gateway and start it with the demo page
	$(call headline,build)
	cargo build --release --locked -p carillon-gateway
	$(call headline,serve; the log names the address of the demo page; Ctrl-C ends it)
	CARILLON_DEMO=true CARILLON_PUBLIC__CLIENT_DIR='$(CLIENT)/node_modules/socket.io-client/dist' \
		exec '$(TARGET)/release/carillon' serve

cluster: linker client ## Build the gateway, start three nodes on a Redis behind HAProxy
	$(call headline,what the cluster needs)
	deploy/cluster/install
	$(call headline,build)
	cargo build --release --locked -p carillon-gateway
	$(call headline,cluster; Ctrl-C stops all of it)
	CARILLON_BIN='$(TARGET)/release/carillon' CARILLON_DEMO=true \
		CARILLON_PUBLIC__CLIENT_DIR='$(CLIENT)/node_modules/socket.io-client/dist' exec deploy/cluster/up

client: $(CLIENT)/.installed

$(CLIENT)/.installed: deploy/client/package.json deploy/client/package-lock.json
	$(call headline,client script)
	mkdir -p '$(CLIENT)'
	cp $^ '$(CLIENT)/'
	cd '$(CLIENT)' && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# ---- test

.PHONY: test check prepare linker fmt clippy doc unit bench-unit deny e2e
test: logs prepare fmt clippy doc unit bench-unit deny e2e chart load ## Install what the tests need, and run all of them
	$(call headline,all passed)
	@'$(CURDIR)/.ci/summary' '$(LOGS)'

check: logs fmt clippy unit ## Format, lints and unit tests, for while working

.PHONY: logs
logs:
	@rm -rf '$(LOGS)' && mkdir -p '$(LOGS)'

linker:
	@command -v cc >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y gcc libc6-dev; }

# The collector, Helm and k6 are built while other suites run; `e2e`, `chart` and `load` wait for them, and build what failed
# here again.
prepare: linker $(TOOLS)/bin/cargo-deny | $(LOGS)
	$(call headline,what the end-to-end suite needs)
	TOOLS='$(TOOLS)' gateway/e2e/install </dev/null
	{ nice gateway/e2e/collector/install; nice deploy/chart/install '$(TOOLS)'; nice loadtest/k6/install; } </dev/null >'$(LOGS)/tools.log' 2>&1 &
	@echo "installed: $$(chromium --version 2>/dev/null | head -1), $$(find gateway/e2e/node_modules -name package.json -path '*node_modules/*' -prune | wc -l) npm packages"

$(TOOLS)/bin/cargo-deny:
	$(call headline,cargo-deny)
	cargo install --quiet --locked --root '$(TOOLS)' --target-dir '$(TOOLS)/build' cargo-deny@0.20.2
	rm -rf '$(TOOLS)/build'

fmt:
	$(call headline,format)
	cargo fmt --all --check
	cargo fmt --manifest-path $(BENCH) --all --check
	cargo fmt --manifest-path $(FUZZ) --check
	@echo "format: $$(git ls-files '*.rs' | wc -l) files as rustfmt writes them"

clippy:
	$(call headline,lints)
	cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
	cargo clippy --quiet -p adapter-redis --all-features --all-targets --locked -- -D warnings
	cargo clippy --quiet --manifest-path $(BENCH) --all-targets --locked -p carillon-bench -- -D warnings
	@echo "lints: 0 warnings"

doc:
	$(call headline,documentation)
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --quiet --workspace --features adapter-redis/socketioxide --no-deps --document-private-items --locked
	@echo "documentation: 0 warnings"

unit: | $(LOGS)
	$(call headline,unit tests)
	cargo test --workspace --locked 2>&1 | tee '$(LOGS)/unit.log'
	cargo test -p adapter-redis --features socketioxide --locked 2>&1 | tee -a '$(LOGS)/unit.log'
	$(call count,unit tests,'$(LOGS)/unit.log')

bench-unit: | $(LOGS)
	$(call headline,unit tests of the benchmark)
	cargo test --manifest-path $(BENCH) --locked -p carillon-bench 2>&1 | tee '$(LOGS)/bench-unit.log'
	$(call count,unit tests of the benchmark,'$(LOGS)/bench-unit.log')

deny: $(TOOLS)/bin/cargo-deny | $(LOGS)
	$(call headline,licenses and sources of the dependencies)
	'$(TOOLS)/bin/cargo-deny' --locked check bans licenses sources 2>&1 | tee '$(LOGS)/deny.log'
	@echo "dependencies: $$(grep -c '^name = ' Cargo.lock) packages checked"

.PHONY: advisories
advisories: $(TOOLS)/bin/cargo-deny ## Look the dependencies up in the RustSec database (fetches it)
	$(call headline,advisories)
	'$(TOOLS)/bin/cargo-deny' --locked check advisories

e2e: | $(LOGS)
	$(call headline,end-to-end)
	cargo build --quiet --locked -p carillon-gateway
	cargo build --quiet --locked -p adapter-redis --features socketioxide --example socketioxide-server
	gateway/e2e/collector/install </dev/null
	TOOLS='$(TOOLS)' CARILLON_BIN='$(TARGET)/debug/carillon' CARILLON_COLLECTOR='$(TOOLS)/bin/collector' gateway/e2e/run </dev/null 2>&1 | tee '$(LOGS)/e2e.log'

.PHONY: chart load
chart: | $(LOGS) ## Check the Helm chart, the image and the compose file (installs Helm)
	$(call headline,chart)
	cargo build --quiet --locked -p carillon-gateway
	TOOLS='$(TOOLS)' CARILLON_BIN='$(TARGET)/debug/carillon' deploy/chart/check 2>&1 | tee '$(LOGS)/chart.log'

load: $(TOOLS)/bin/k6 | $(LOGS) ## A few seconds of each k6 scenario, and of clients that are broken on purpose (installs k6)
	$(call headline,load test)
	TOOLS='$(TOOLS)' gateway/e2e/install </dev/null
	cargo build --quiet --locked -p carillon-gateway
	export CARILLON_BIN='$(TARGET)/debug/carillon' K6='$(TOOLS)/bin/k6'; \
		{ loadtest/k6/smoke && loadtest/k6/smoke --self-test; } </dev/null 2>&1 | tee '$(LOGS)/load.log'

$(TOOLS)/bin/k6: loadtest/k6/install
	$(call headline,k6)
	loadtest/k6/install && touch $@

$(LOGS):
	@mkdir -p $@

# ---- the rest

.PHONY: bench fuzz docs
bench: ## Measure the gateway beside the floor and its peers (some 20 minutes)
	loadtest/bench/run

$(TOOLS)/bin/cargo-fuzz:
	$(call headline,cargo-fuzz)
	command -v c++ >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y g++; }
	cargo install --quiet --locked --root '$(TOOLS)' --target-dir '$(TOOLS)/build' cargo-fuzz@0.13.2
	rm -rf '$(TOOLS)/build'

fuzz: $(TOOLS)/bin/cargo-fuzz ## Run each fuzz target for FUZZ_SECONDS (20)
	PATH='$(TOOLS)/bin':"$$PATH" gateway/fuzz/run $(FUZZ_SECONDS)

docs: ## Write docs/config.md anew from the program
	cargo run --quiet --locked -p carillon-gateway -- config-docs > '$(TARGET)/config.md'
	mv '$(TARGET)/config.md' docs/config.md
	@echo "docs/config.md: $$(wc -l < docs/config.md) lines"
