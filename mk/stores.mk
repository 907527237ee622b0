# The promises of the disk room that take longer than a unit test. CI runs a tenth.
CRASH_ROUNDS ?= 10

$(BUILD)/soak/ldb_crash: $(BUILD)/obj/tests/soak/ldb_crash.o $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

## check-crash    kill -9 during writes, unsynced bytes dropped (CRASH_ROUNDS=100 for all of it)
.PHONY: check-crash
check-crash: $(BUILD)/soak/ldb_crash
	$(BUILD)/soak/ldb_crash $(CRASH_ROUNDS)

$(BUILD)/soak/disk_full: $(BUILD)/obj/tests/soak/disk_full.o $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

## check-disk-full  a disk of 40 MiB filled to the brim and freed under running stores (root)
.PHONY: check-disk-full
check-disk-full: $(BUILD)/soak/disk_full
	tests/soak/disk_full.sh $(BUILD)/soak/disk_full

STORE_KEYS ?= 1000000

## check-store-memory  keys of 97 bytes at random: what a store holds (STORE_KEYS=10000000 for all)
.PHONY: check-store-memory
check-store-memory: $(BUILD)/larder-bench
	$(BUILD)/larder-bench ldb --entries $(STORE_KEYS) --json | tests/soak/ldb_memory.py

## check-reserve-crash  the reserve: 200 kills of its writer, unsynced bytes dropped, and two broken writers that must be found out
.PHONY: check-reserve-crash
check-reserve-crash: $(BUILD)/tests/unit/store/test_reserve_crash
	LARDER_CRASH_ROUNDS=200 $<

soak:: check-disk-full check-reserve-crash
	$(MAKE) check-crash CRASH_ROUNDS=100
	$(MAKE) check-store-memory STORE_KEYS=10000000
soak-tenth:: check-disk-full check-crash check-store-memory

RESERVE_ENTRIES ?= 2000000
RESERVE_CHUNKS ?= 200000

$(BUILD)/soak/reserve_node: $(BUILD)/obj/tests/soak/reserve_node.o $(BUILD)/obj/tests/bench/reserve_gen.o $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

## check-reserve-node  a node of 512 MiB with millions of entries: starts, puts, reads, memory (RESERVE_ENTRIES, RESERVE_CHUNKS)
.PHONY: check-reserve-node
check-reserve-node: $(BUILD)/soak/reserve_node
	tests/soak/reserve_node.sh $< $(RESERVE_ENTRIES) $(RESERVE_CHUNKS)

soak::
	$(MAKE) check-reserve-node RESERVE_ENTRIES=20000000 RESERVE_CHUNKS=2000000
soak-tenth:: check-reserve-node

HASCACHE_ENTRIES ?= 10000000

## check-hascache  the has-cache grown entry by entry: bytes an entry (HASCACHE_ENTRIES=100000000 for all)
.PHONY: check-hascache
check-hascache: $(BUILD)/larder-bench $(BENCH_GOMAP)
	$(BUILD)/larder-bench hascache --entries $(HASCACHE_ENTRIES) --json | tests/soak/hascache.py $(HASCACHE_ENTRIES)

soak::
	$(MAKE) check-hascache HASCACHE_ENTRIES=100000000
soak-tenth:: check-hascache

CONTENT_MIB ?= 100

## check-content  files into the reserve of a node of 512 MiB and out again, identical (CONTENT_MIB=1024 for all)
.PHONY: check-content
check-content: $(BUILD)/larder
	tests/soak/content.sh $< $(CONTENT_MIB)

soak::
	$(MAKE) check-content CONTENT_MIB=1024
soak-tenth:: check-content
