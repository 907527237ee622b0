# The benches are one binary: build/larder-bench list, NAME [--entries N] [--json].

## bench          run every bench; one JSON object per figure
.PHONY: bench
bench: $(BUILD)/larder-bench
	$(BUILD)/larder-bench all --json
