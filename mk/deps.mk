## deps           install the Debian 12 packages that building and testing need (root or sudo)
.PHONY: deps
deps:
	@mk/deps.sh
