# Tests of what runs on worker threads; each such test is named here. ThreadSanitizer is linked
# without jemalloc (lib/base/mem.h says why), and hides what LevelDB does inside itself.
TSAN_TESTS := store/test_backup_reserve \
	core/test_work core/test_request store/test_stores store/test_backup store/test_reserve \
	store/test_reserve_crash store/test_reserve_faults store/test_reserve_health store/test_reserve_verify swarm/test_content node/test_node node/test_node_stores node/test_swarm node/test_swarm_reserve \
	swarm/test_pullsync_server
TSAN_TESTS += store/test_restore store/test_reserve_damage store/test_keystore ipfs/test_provider ipfs/test_provider_clock ipfs/test_provider_rows ipfs/test_region_kill ipfs/test_ends ipfs/test_pass ipfs/test_provider_turns ipfs/test_region_size
TSAN_TESTS += swarm/test_pullsync_client swarm/test_puller swarm/test_known_store
TSAN_TESTS += node/test_marks

## check-tsan     the unit tests of what runs on worker threads, under ThreadSanitizer
.PHONY: check-tsan
check-tsan:
	TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp $(TSAN_OPTIONS)" \
		$(MAKE) VARIANT=tsan UNIT_SRCS="$(TSAN_TESTS:%=tests/unit/%.c)" check
