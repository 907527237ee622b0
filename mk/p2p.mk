# The libp2p host under attack and over long distances.
P2P_SOAK_OBJS := $(BUILD)/obj/tests/soak/p2p_target.o $(BUILD)/obj/tests/soak/p2p_attack.o

$(BUILD)/soak/p2p_%: $(BUILD)/obj/tests/soak/p2p_%.o $(P2P_SOAK_OBJS) $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)
.SECONDARY: $(P2P_SOAK_OBJS) $(BUILD)/obj/tests/soak/p2p_hostile.o

.SECONDARY: $(BUILD)/obj/tests/soak/p2p_churn.o

CHURN_CONNECTS ?= 1024
CHURN_STREAMS ?= 102400
CHURN_IDLE_SECONDS ?= 5

## check-churn    connections and streams by the thousand, then 100 idle ones: what is left, what it costs
.PHONY: check-churn
check-churn: $(BUILD)/soak/p2p_churn
	$(BUILD)/soak/p2p_churn $(CHURN_CONNECTS) $(CHURN_STREAMS) $(CHURN_IDLE_SECONDS) /ip4/127.0.0.1
	$(BUILD)/soak/p2p_churn $(CHURN_CONNECTS) $(CHURN_STREAMS) $(CHURN_IDLE_SECONDS) /ip6/::1

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
	$(BUILD)/soak/p2p_hostile 100 1024 /ip6/::1
	$(MAKE) check-churn CHURN_CONNECTS=10016 CHURN_STREAMS=1000000 CHURN_IDLE_SECONDS=50
soak-tenth:: check-hostile check-churn
