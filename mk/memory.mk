# The memory rules under load, once as they are and once with accounting broken on purpose: the
# second build must be caught.
MEMORY_LOAD_OBJ := $(BUILD)/obj/tests/soak/memory_load.o

$(BUILD)/soak/memory_load: $(MEMORY_LOAD_OBJ) $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/tests/soak/mem_broken.o: lib/base/mem.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -DLARDER_BREAK_ACCOUNTING $(CFLAGS_COMMON) $(REPRODUCIBLE) $(OPT) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/soak/memory_load_broken: $(MEMORY_LOAD_OBJ) $(BUILD)/obj/tests/soak/mem_broken.o $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

## check-memory   three owners asking for three times the budget; and the same with a lie in the sums
.PHONY: check-memory
check-memory: $(BUILD)/soak/memory_load $(BUILD)/soak/memory_load_broken
	$(BUILD)/soak/memory_load $(MEMORY_JOBS)
	@out=$$($(BUILD)/soak/memory_load_broken $(MEMORY_JOBS)); rc=$$?; echo "$$out"; \
	if [ $$rc -eq 2 ]; then echo "broken accounting was caught, as it must be"; \
	else echo "broken accounting was NOT caught (exit $$rc)"; exit 1; fi
	tests/soak/memory_cgroup.sh $(BUILD)/soak/memory_load $(BUILD)/soak/memory_load_broken $(MEMORY_JOBS)

soak:: check-memory
soak-tenth:: check-memory
