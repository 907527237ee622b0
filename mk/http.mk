# HTTP from outside: what a scraper, a person and a thousand slow clients meet.

## check-http     the running node over HTTP: promtool, 50,000 scrapes, 1,000 slow clients
.PHONY: check-http
check-http: $(BUILD)/larder
	ulimit -n 4096; LARDER=$(CURDIR)/$(BUILD)/larder prove --exec python3 tests/http/scrapes.py
