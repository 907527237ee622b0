# Provider records: one region of any number of keys, and large imports.
$(BUILD)/soak/reprovide_region: $(BUILD)/obj/tests/soak/reprovide_region.o $(BUILD)/obj/tests/unit/kad_sink.o $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

REGION_KEYS ?= 10000 100000 1000000
# The reference takes some 600 MB for a million keys.
REGION_REFERENCE ?= 100000

## check-region   one region of REGION_KEYS keys each: order, completeness, the same memory for all
.PHONY: check-region
check-region: $(BUILD)/soak/reprovide_region $(BUILD)/larder $(BUILD)/interop/dht
	tests/soak/reprovide_region.py $^ $(REGION_REFERENCE) $(REGION_KEYS)

## check-keys-import  10,000,000 keys from a file, and a cycle with them: bytes a key, start, memory
.PHONY: check-keys-import
check-keys-import:
	$(MAKE) check-region REGION_KEYS=10000000

soak::
	$(MAKE) check-region REGION_REFERENCE=1000000 REGION_KEYS="$(REGION_KEYS) 10000000"
soak-tenth:: check-region
