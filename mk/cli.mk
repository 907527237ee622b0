# Tests of the binary as people and scripts use it: shell scripts that print TAP.

CLI_TESTS := $(filter-out tests/cli/tap.sh,$(sort $(wildcard tests/cli/*.sh)))

## check-cli      only: the binary from outside (part of check)
.PHONY: check-cli
check-cli: $(BUILD)/larder $(BUILD)/larder.8
	LARDER=$(CURDIR)/$(BUILD)/larder prove --exec '' $(CLI_TESTS)

ifneq ($(VARIANT),tsan) # which runs what it names, and no more
check: check-cli
endif
