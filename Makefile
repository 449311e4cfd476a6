# The everyday commands. `make` alone lists them. Works with GNU make 3.81 and later.
#
#   make run                             the scenario of the ADR
#   make run ARGS="--seed 7 --quiet"     the same with arguments for cachestorm
#   make run SCENARIO=scenarios/my.yaml

SHELL := /bin/sh
CARGO ?= cargo
SCENARIO ?= scenarios/adr-006.yaml
ARGS ?=
SETUP_FOR ?= run
TARGET_DIR ?= $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
BINARY := $(TARGET_DIR)/release/cachestorm

.DEFAULT_GOAL := help
.PHONY: help setup build run test check bench clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing: a C compiler, redis-server (for the tests memcached, nginx)
	@SETUP_FOR=$(SETUP_FOR) sh scripts/setup.sh $(ARGS)

build: ## build the release binary
	$(CARGO) build --release --locked

# Runs the binary itself, so that its exit code can be read in the last line; make's own is 2.
run: setup build ## run the scenario of the ADR (SCENARIO=file, ARGS="…")
	$(BINARY) run $(SCENARIO) $(ARGS)

test: SETUP_FOR := tests
test: setup ## everything that must hold: format, lints, documentation, all tests
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  echo "$(CARGO) test --locked --doc && $(CARGO) nextest run --locked"; \
	  $(CARGO) test --locked --doc && $(CARGO) nextest run --locked; \
	else \
	  echo "$(CARGO) test --locked"; \
	  $(CARGO) test --locked; \
	fi

check: ## the fast part of test: format and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: setup ## the benchmarks
	$(CARGO) bench --locked

clean: ## remove what was built; reports stay
	$(CARGO) clean
