## check-clang    the unit tests, built by clang
.PHONY: check-clang
check-clang:
	$(MAKE) CC=clang CXX=clang++ BUILD=build/clang check

## reproducible   two builds of one commit in two folders are identical
.PHONY: reproducible
reproducible:
	@tests/lint/reproducible.sh

## coverage       after `make check`: every limit was hit and every metric moved
.PHONY: coverage
coverage:
	@tests/lint/coverage.py $(BUILD)/hits.txt

## check-fresh    the README's commands in a fresh Debian 12 tree (root, debootstrap)
.PHONY: check-fresh
check-fresh:
	tests/fresh/run.sh

## ci             everything that must stay true (.ci/run)
.PHONY: ci
ci:
	.ci/run
