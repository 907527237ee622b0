## deps           install the Debian 12 packages that building and testing need (root or sudo)
.PHONY: deps
deps:
	@mk/deps.sh mk/deps.list

## deps-ci        and those that only packaging and the slow tests of .ci/run need
.PHONY: deps-ci
deps-ci:
	@mk/deps.sh mk/deps-ci.list
