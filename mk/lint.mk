# What a machine can check without running the daemon: tests/lint/lint.py names the checks.

LINT := python3 tests/lint/lint.py --build $(BUILD)

## lint           every rule of the tree that a machine can check
.PHONY: lint
lint: $(if $(wildcard daemon/gen.c),$(BUILD)/larder-gen)
	@$(LINT)

## check-layers   only: who includes whom, and which file knows which third party
.PHONY: check-layers
check-layers:
	@$(LINT) layers libraries

## lint-selftest  plant a violation of each check in a copy of the tree and see it found
.PHONY: lint-selftest
lint-selftest:
	@tests/lint/selftest.sh
