# The benches are one binary: build/larder-bench list, NAME [--entries N] [--json].

# Sets to compare with that are written in Go; without a compiler that is new enough (1.21) they are left out.
BENCH_GO_NEW := $(shell go env GOVERSION 2>/dev/null | grep -E '^go1\.(2[1-9]|[3-9][0-9])')
BENCH_GOMAP := $(if $(BENCH_GO_NEW),$(BUILD)/gomap)
BENCH_GO := $(BENCH_GOMAP)
$(BUILD)/gomap: tests/bench/gomap/main.go tests/bench/gomap/go.mod
	$(if $(Q),@echo "GO    $@")
	$(Q)cd $(<D) && go build -o $(abspath $@) .

# The other side of the bench `net`, on go-libp2p; without a compiler it is left out too.
BENCH_GO += $(if $(BENCH_GO_NEW),$(BUILD)/interop/go-bench)
$(BUILD)/interop/go-bench: tests/interop/go-libp2p/bench/main.go tests/interop/go-libp2p/go.mod
	@mkdir -p $(@D)
	$(if $(Q),@echo "GO    $@")
	$(Q)cd tests/interop/go-libp2p && go build -o $(abspath $@) ./bench

# And on rust-libp2p, where a cargo stands that is new enough for it (1.88).
RUST_CRATE := tests/interop/rust-libp2p
BENCH_RUST := $(if $(shell cargo --version 2>/dev/null | grep -E '^cargo 1\.(8[89]|9[0-9]|[1-9][0-9]{2})\.'),$(BUILD)/interop/rust-bench)
$(BUILD)/interop/rust-bench: $(wildcard $(RUST_CRATE)/src/*.rs) $(RUST_CRATE)/Cargo.toml $(RUST_CRATE)/Cargo.lock
	@mkdir -p $(@D)
	$(if $(Q),@echo "CARGO $@")
	$(Q)cargo build --quiet --locked --release --bin rust-bench --manifest-path $(RUST_CRATE)/Cargo.toml \
		--target-dir $(BUILD)/interop/rust
	$(Q)cp $(BUILD)/interop/rust/release/rust-bench $@

# The index of the known program, from its own packages.
BENCH_GO += $(if $(BENCH_GO),$(BUILD)/beeindex)
$(BUILD)/beeindex: tests/bench/beeindex/main.go tests/bench/beeindex/go.mod tests/bench/beeindex/go.sum
	$(if $(Q),@echo "GO    $@")
	$(Q)cd $(<D) && GOTOOLCHAIN=auto go build -o $(abspath $@) .

## bench          run every bench; one JSON object per figure
.PHONY: bench
bench: $(BUILD)/larder-bench $(BENCH_GO) $(BENCH_RUST)
	$(BUILD)/larder-bench all --json

# Every bench at a small size: it builds, runs and reports, with what stands beside it in Go. Figures
# of such a run mean nothing.
BENCH_SMOKE_ENTRIES ?= 20000
.PHONY: bench-smoke
bench-smoke: $(BUILD)/larder-bench $(BENCH_GO)
	@for name in $$($(BUILD)/larder-bench list | cut -d' ' -f1); do \
		$(BUILD)/larder-bench $$name --entries $(BENCH_SMOKE_ENTRIES) --json || [ $$? = 1 ] || exit 1; \
	done
