# The libp2p host under attack and over long distances.
P2P_SOAK_OBJS := $(BUILD)/obj/tests/soak/p2p_target.o $(BUILD)/obj/tests/soak/p2p_attack.o

$(BUILD)/soak/p2p_%: $(BUILD)/obj/tests/soak/p2p_%.o $(P2P_SOAK_OBJS) $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)
.SECONDARY: $(P2P_SOAK_OBJS) $(BUILD)/obj/tests/soak/p2p_hostile.o

HOSTILE_SECONDS ?= 10

## check-hostile  512 hostile peers beside honest ones, at 1 GiB and 256 MiB, over IPv4 and IPv6
.PHONY: check-hostile check-hostile-run
check-hostile: check-hostile-run
	$(MAKE) VARIANT=asan check-hostile-run

check-hostile-run: $(BUILD)/soak/p2p_hostile
	$(BUILD)/soak/p2p_hostile $(HOSTILE_SECONDS) 1024 /ip4/127.0.0.1
	$(BUILD)/soak/p2p_hostile $(HOSTILE_SECONDS) 256 /ip6/::1

soak::
	$(MAKE) check-hostile HOSTILE_SECONDS=100
soak-tenth:: check-hostile
