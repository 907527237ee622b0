# larder: build, test, install. `make help` lists the targets.
#
# VARIANT chooses how things are compiled; each has its own folder below build/:
#   plain (default)  release flags, jemalloc
#   asan, tsan       sanitizers, no jemalloc (lib/base/mem.h says why)
#   fuzz             libFuzzer with clang, AddressSanitizer and UBSan
#   cov              the same targets with counted lines
VARIANT ?= plain
CC ?= cc
CXX ?= c++
V ?= 0
FUZZ_SECONDS ?= 0
PREFIX ?= /usr/local
DESTDIR ?=

ifeq ($(origin CC),default)
CC := cc
endif
ifeq ($(origin CXX),default)
CXX := c++
endif

BUILD := build$(if $(filter-out plain,$(VARIANT)),/$(VARIANT))
Q := $(if $(filter 1,$(V)),,@)

# Third-party libraries by the room that knows them (lib/README.md).
PKGS := libuv yaml-0.1 libprotobuf-c libsodium libcrypto libsecp256k1 yajl libmicrohttpd libcares
CFLAGS_COMMON := -std=gnu11 -fno-common -pthread -fno-omit-frame-pointer -g \
	-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wno-unknown-warning-option
CXXFLAGS_COMMON := -std=gnu++17 -fno-common -pthread -fno-omit-frame-pointer -g -Wall -Wextra -Werror \
	-Wshadow -Wno-unused-parameter
# Clang takes [[attributes]] in C only when told to.
CFLAGS_COMMON += $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),-fdouble-square-bracket-attributes)
# Two builds of one commit in two folders are identical.
REPRODUCIBLE := -ffile-prefix-map=$(CURDIR)=. -fdebug-prefix-map=$(CURDIR)=. -Wdate-time
CPPFLAGS_ALL := -D_GNU_SOURCE -Ilib -I$(BUILD) -I$(BUILD)/gen $(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(CPPFLAGS)

ifeq ($(VARIANT),plain)
OPT := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LINK := -pie -Wl,-z,relro,-z,now
MALLOC_LIB := -ljemalloc
CPPFLAGS_ALL += -DLARDER_JEMALLOC=1
else ifeq ($(VARIANT),asan)
OPT := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
LINK := -fsanitize=address,undefined
else ifeq ($(VARIANT),tsan)
OPT := -O1 -fsanitize=thread
LINK := -fsanitize=thread
else ifeq ($(VARIANT),fuzz)
CC := clang
CXX := clang++
CFLAGS_COMMON += -fdouble-square-bracket-attributes
OPT := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LINK := -fsanitize=fuzzer,address,undefined
else ifeq ($(VARIANT),cov)
CC := clang
CXX := clang++
CFLAGS_COMMON += -fdouble-square-bracket-attributes
OPT := -O1 -fprofile-instr-generate -fcoverage-mapping -fsanitize=fuzzer-no-link
LINK := -fprofile-instr-generate -fsanitize=fuzzer
else
$(error VARIANT is plain, asan, tsan, fuzz or cov, not '$(VARIANT)')
endif

LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lleveldb $(MALLOC_LIB) -lm -pthread

# Sources are what is there; lint sees to it that lib/README.md names each of them.
ROOMS := $(filter-out tables,$(notdir $(patsubst %/,%,$(dir $(wildcard lib/*/*.c)))))
ROOMS := $(sort $(ROOMS))
room_srcs = $(sort $(wildcard lib/$(1)/*.c) $(wildcard lib/$(1)/*.cc))
objs_of = $(patsubst %,$(BUILD)/obj/%.o,$(basename $(1)))
LIB_SRCS := $(foreach r,$(ROOMS),$(call room_srcs,$(r)))
PROTO_SRCS := $(sort $(wildcard proto/*.proto))
PROTO_GEN := $(PROTO_SRCS:proto/%.proto=$(BUILD)/gen/proto/%.pb-c.c)
PROTO_OBJS := $(PROTO_GEN:.c=.o)
LIB_OBJS := $(call objs_of,$(LIB_SRCS)) $(PROTO_OBJS)
DAEMON_SRCS := $(sort $(filter-out daemon/gen.c,$(wildcard daemon/*.c)))
DAEMON_OBJS := $(call objs_of,$(DAEMON_SRCS))
UNIT_SRCS := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/unit/%)
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS := $(FUZZ_SRCS:tests/fuzz/%.c=$(BUILD)/fuzz/%)
BENCH_SRCS := $(sort $(wildcard tests/bench/*.c tests/bench/*.cc))
BENCH_OBJS := $(call objs_of,$(BENCH_SRCS))

.PHONY: all
all: $(BUILD)/liblarder.a $(if $(DAEMON_SRCS),$(BUILD)/larder)

.PHONY: help
help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST)) mk/*.mk 2>/dev/null

$(BUILD)/obj/%.o: %.c | $(PROTO_GEN)
	@mkdir -p $(@D)
	$(if $(Q),@echo "CC    $<")
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_COMMON) $(REPRODUCIBLE) $(OPT) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.cc
	@mkdir -p $(@D)
	$(if $(Q),@echo "CXX   $<")
	$(Q)$(CXX) $(CPPFLAGS_ALL) $(CXXFLAGS_COMMON) $(REPRODUCIBLE) $(OPT) $(CXXFLAGS) -MMD -MP -c -o $@ $<

# Wire messages: generated from proto/, never committed. Generated code is not ours to warn about.
$(BUILD)/gen/proto/%.pb-c.c $(BUILD)/gen/proto/%.pb-c.h &: proto/%.proto
	@mkdir -p $(@D)
	$(if $(Q),@echo "PROTO $<")
	$(Q)protoc-c --proto_path=proto --c_out=$(BUILD)/gen/proto $<

.SECONDARY: $(PROTO_GEN)
$(BUILD)/gen/proto/%.pb-c.o: $(BUILD)/gen/proto/%.pb-c.c
	$(Q)$(CC) $(CPPFLAGS_ALL) -I$(BUILD)/gen/proto $(filter-out -Werror -Wmissing-prototypes,$(CFLAGS_COMMON)) $(REPRODUCIBLE) $(OPT) -w -c -o $@ $<

# Each room is an archive of its own, so that a test links a room with only the rooms under it.
define room_rule
$(BUILD)/room/$(1).a: $$(call objs_of,$$(call room_srcs,$(1))) $(if $(filter codec,$(1)),$$(PROTO_OBJS))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcsD $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))

$(BUILD)/liblarder.a: $(LIB_OBJS)
	@rm -f $@
	$(if $(Q),@echo "AR    $@")
	$(Q)ar rcsD $@ $(sort $^)

# C++ links, because LevelDB needs its runtime.
$(BUILD)/larder: $(DAEMON_OBJS) $(BUILD)/liblarder.a
	$(if $(Q),@echo "LINK  $@")
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $(DAEMON_OBJS) $(BUILD)/liblarder.a $(LIBS)

# rooms_under(room): the archives a test of that room may link, from lib/LAYERS.
rooms_under = $(foreach r,$(1) $(if $(filter node,$(1)),$(ROOMS),$(shell sed -n 's/^$(1): *//p' lib/LAYERS)),$(if $(filter $(r),$(ROOMS)),$(BUILD)/room/$(r).a))

define unit_rule
$(BUILD)/tests/unit/$(1)/%: $(BUILD)/obj/tests/unit/$(1)/%.o $(BUILD)/tests/support.a $(call rooms_under,$(1))
	@mkdir -p $$(@D)
	$$(if $$(Q),@echo "LINK  $$@")
	$$(Q)$$(CXX) $$(LINK) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group -lcmocka -lyajl $$(LIBS)
endef
$(foreach r,$(sort $(notdir $(patsubst %/,%,$(dir $(UNIT_SRCS))))),$(eval $(call unit_rule,$(r))))
UNIT_SUPPORT := $(sort $(wildcard tests/unit/*.c))
$(call objs_of,$(UNIT_SRCS) $(UNIT_SUPPORT)): CPPFLAGS_ALL += -Itests/unit

$(BUILD)/tests/support.a: $(call objs_of,$(UNIT_SUPPORT))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcsD $@ $^

.PHONY: unit-bins
unit-bins: $(UNIT_BINS)

## check          build everything and run the unit tests (TAP, under prove)
.PHONY: check
check: all unit-bins
	@rm -f $(BUILD)/hits.txt
	LARDER_TEST_DATA=$(CURDIR)/tests/data TEST_HITS_FILE=$(CURDIR)/$(BUILD)/hits.txt \
		prove --exec '' $(UNIT_BINS)

## check-asan     the unit tests under AddressSanitizer and UBSan
.PHONY: check-asan
check-asan:
	$(MAKE) VARIANT=asan check

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $< $(BUILD)/liblarder.a $(LIBS)

.PHONY: fuzz-bins
fuzz-bins: $(FUZZ_BINS)

## fuzz           every fuzz target over its corpus; FUZZ_SECONDS=N goes on for N seconds each
.PHONY: fuzz
fuzz:
	$(MAKE) VARIANT=fuzz fuzz-bins
	tests/fuzz/run.sh build/fuzz/fuzz $(FUZZ_SECONDS)

$(BUILD)/larder-bench: $(BENCH_OBJS) $(BUILD)/liblarder.a
	$(if $(Q),@echo "LINK  $@")
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $(BENCH_OBJS) $(BUILD)/liblarder.a $(LIBS)

.PHONY: clean
clean:
	rm -rf build

-include $(wildcard mk/*.mk)
-include $(shell test -d $(BUILD)/obj && find $(BUILD)/obj -name '*.d')
