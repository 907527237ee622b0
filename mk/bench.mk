# The benches are one binary: build/larder-bench list, NAME [--entries N] [--json].

## bench          run every bench; one JSON object per figure
.PHONY: bench
bench: $(BUILD)/larder-bench
	$(BUILD)/larder-bench all --json

# Every bench at a small size: it builds, runs and reports. Figures of such a run mean nothing.
BENCH_SMOKE_ENTRIES ?= 20000
.PHONY: bench-smoke
bench-smoke: $(BUILD)/larder-bench
	@for name in $$($(BUILD)/larder-bench list | cut -d' ' -f1); do \
		$(BUILD)/larder-bench $$name --entries $(BENCH_SMOKE_ENTRIES) --json || [ $$? = 1 ] || exit 1; \
	done
