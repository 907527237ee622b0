## fuzz-coverage  which lines of each decoder the fuzz targets run over their seeds; fails below 90 %
.PHONY: fuzz-coverage
fuzz-coverage:
	$(MAKE) VARIANT=cov fuzz-bins
	tests/fuzz/coverage.py build/cov/fuzz
