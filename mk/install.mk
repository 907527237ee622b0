# Where things go: PREFIX/bin, PREFIX/share/man, PREFIX/lib/systemd; nothing is put into /etc, where
# the sample configuration may be copied to by hand (the package does it).
UNIT_DIR := $(PREFIX)/lib/systemd/system
INSTALLED := $(PREFIX)/bin/larder $(PREFIX)/share/man/man8/larder.8 \
	$(PREFIX)/share/doc/larder/larder.yaml $(UNIT_DIR)/larder.service $(PREFIX)/lib/sysusers.d/larder.conf

## install        below DESTDIR and PREFIX (default /usr/local): binary, man page, unit, sample configuration
.PHONY: install
install: all
	install -D -m 755 $(BUILD)/larder $(DESTDIR)$(PREFIX)/bin/larder
	install -D -m 644 $(BUILD)/larder.8 $(DESTDIR)$(PREFIX)/share/man/man8/larder.8
	install -D -m 644 conf/larder.yaml $(DESTDIR)$(PREFIX)/share/doc/larder/larder.yaml
	install -D -m 644 systemd/larder.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/larder.conf
	install -d $(DESTDIR)$(UNIT_DIR)
	sed 's|/usr/bin/larder|$(PREFIX)/bin/larder|' systemd/larder.service > $(DESTDIR)$(UNIT_DIR)/larder.service
	chmod 644 $(DESTDIR)$(UNIT_DIR)/larder.service

## uninstall      what install put there; data and configuration stay
.PHONY: uninstall
uninstall:
	rm -f $(INSTALLED:%=$(DESTDIR)%)
	rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/share/doc/larder 2>/dev/null || true

## deb            a Debian package in build/deb, which lintian must accept without errors
.PHONY: deb
deb:
	tests/service/deb.sh

## check-install  install below a folder, run, uninstall: nothing is left
.PHONY: check-install
check-install:
	tests/service/install.sh

## check-unit     systemd's own verdict on the unit
.PHONY: check-unit
check-unit:
	systemd-analyze security --offline=true --threshold=15 --no-pager systemd/larder.service

## check-service  the package in a booted Debian 12 (systemd-nspawn): start, reload, watchdog, stop
.PHONY: check-service
check-service:
	tests/service/run.sh
