# What README tells people to type. Everything a target needs is installed into .venv, and only there.
# `make demo PYTHON=python3.13` chooses the interpreter that .venv is made with.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
RUST := $(shell find $(wildcard rust benches) -name "*.rs" -o -name Cargo.toml) Cargo.toml Cargo.lock

# rustup's own folder comes last: a shell that has not read its profile still finds cargo there.
export PATH := $(PATH):$(HOME)/.cargo/bin

# A development environment holds all that the demo needs: it is not installed anew for it.
EXTRA := $(if $(wildcard $(VENV)/.installed-dev),dev,demo)

.PHONY: embed memcheck help demo test test-slow lint bench clean cargo

help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.installed-$(EXTRA)  ## segment the Hubble Deep Field into demo/
	$(BIN)/starnet demo --output demo

test: $(VENV)/.installed-dev  ## run the Rust and the Python tests, without the slow ones
	cargo test --workspace
	$(BIN)/pytest -m "not slow"

test-slow: $(VENV)/.installed-dev  ## run the slow Python tests
	$(BIN)/pytest -m slow

lint: $(VENV)/.installed-dev  ## ruff, mypy, clippy, rustfmt
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cargo clippy --workspace --all-targets -- -D warnings
	cargo fmt --check

bench: $(VENV)/.installed-dev  ## time the kernels beside scipy, OpenCV, sep, ... (ten minutes)
	$(BIN)/starnet bench --json benches/results/latest.json --plot benches/results/latest.png

# What made the weights, in order.
TRAINING := $(patsubst %,configs/train/%.yaml,tiny-first tiny tiny-bands tiny-hot-pixels tiny-mean tiny-prompts)

embed: $(VENV)/.installed-dev  ## ship WEIGHTS=FILE.safetensors as `tiny`: rounded, exported, compared, replaced as a whole
	@test -f "$(WEIGHTS)" || { echo "make: name the trained weights: make embed WEIGHTS=training/weights.safetensors" >&2; exit 1; }
	$(BIN)/starnet export "$(WEIGHTS)" --output python/starnet/weights/tiny --precision int8 --with-weights --licence BSD-3-Clause \
	  $(addprefix --training ,$(TRAINING)) --force

memcheck: cargo  ## run the crate's tests under valgrind, which knows AVX2 but not AVX-512
	STARNET_SIMD=avx2 PROPTEST_CASES=3 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind -q --error-exitcode=9" \
	  cargo test -p starnet-core --lib -- --test-threads=1

clean:  ## remove everything that was made: .venv, target, caches, demo
	rm -rf $(VENV) target demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f python/starnet/*.so

# A leftover extension module (of another Python, or a debug build) would shadow the fresh one.
# maturin runs in .venv itself, so that a rebuild needs no network.
$(VENV)/.installed-%: $(BIN)/python pyproject.toml $(RUST)
	rm -f python/starnet/*.so
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'maturin>=1.9.4,<2'
	VIRTUAL_ENV='$(CURDIR)/$(VENV)' PIP_QUIET=1 $(BIN)/maturin develop --release --extras $*
	touch $@

$(BIN)/python: | cargo
	@for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv $(VENV)"; exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	echo "make: StarNet needs Python 3.11 or newer with its venv module: install it (Debian: apt install python3-venv) or name one with make PYTHON=python3.x." >&2; exit 1

cargo:
	@command -v cargo >/dev/null || \
	  { echo "make: StarNet's kernels are built with Rust, and cargo is not on the PATH: install Rust 1.88 or newer from https://rustup.rs and type make again." >&2; exit 1; }
