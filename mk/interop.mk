# Real peers. They come by name from their registries and are built where the test runs.
INTEROP_BINS := $(patsubst tests/interop/%.c,$(BUILD)/interop/%,$(sort $(wildcard tests/interop/*.c)))

$(BUILD)/interop/%: $(BUILD)/obj/tests/interop/%.o $(BUILD)/liblarder.a
	@mkdir -p $(@D)
	$(if $(Q),@echo "LINK  $@")
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $< $(BUILD)/liblarder.a $(LIBS)

.PHONY: interop-bins
interop-bins: $(INTEROP_BINS)

## interop-libp2p our libp2p host against hosts on other libraries, both ways
.PHONY: interop-libp2p
interop-libp2p: $(BUILD)/interop/peer $(BUILD)/larder
	tests/interop/run-libp2p.sh $< $(BUILD)/larder $(BUILD)/interop

## interop-kubo   a kubo node beside the daemon
.PHONY: interop-kubo
interop-kubo: $(BUILD)/interop/peer $(BUILD)/larder
	tests/interop/run-kubo.sh $< $(BUILD)/larder $(BUILD)/interop

## interop-py     our libp2p host against py-libp2p, both ways (by hand: its packages build for a while)
.PHONY: interop-py
interop-py: $(BUILD)/interop/peer
	tests/interop/run-py.sh $< $(BUILD)/interop

$(BUILD)/interop/bee-peer: $(wildcard tests/interop/bee/*.go tests/interop/bee/go.*)
	$(if $(Q),@echo "GO    $@")
	$(Q)tests/interop/build-go.sh tests/interop/bee $@

## interop-bee    the daemon against nodes made of bee's own packages; BEE_CASES= names some
.PHONY: interop-bee
interop-bee: $(BUILD)/interop/bee-peer $(BUILD)/larder
	prove -v --exec python3 tests/interop/bee/run.py :: $(BUILD)/interop/bee-peer $(BUILD)/larder $(BEE_CASES)

# CI has a tenth of these rounds of SIGKILL, in interop-bee.
.PHONY: interop-bee-long
interop-bee-long: $(BUILD)/interop/bee-peer $(BUILD)/larder
	prove -v --exec python3 tests/interop/bee/run.py :: --scale 10 $(BUILD)/interop/bee-peer $(BUILD)/larder case_crash
soak:: interop-bee-long

## bench-bee      bee and larder side by side, BEE_BENCH_CHUNKS= full chunks: one JSON object a figure
BEE_BENCH_CHUNKS ?= 100000
.PHONY: bench-bee
bench-bee: $(BUILD)/interop/bee-peer $(BUILD)/larder
	@tests/interop/bee/bench.py $(BUILD)/interop/bee-peer $(BUILD)/larder --chunks $(BEE_BENCH_CHUNKS)

# Servers of a DHT with an oracle over their stores, and the reference that provides to them.
$(BUILD)/interop/dht: $(wildcard tests/interop/dht/*.go tests/interop/dht/go.*)
	$(if $(Q),@echo "GO    $@")
	$(Q)tests/interop/build-go.sh tests/interop/dht $@

$(BUILD)/interop/kubo/ipfs: tests/interop/kubo/go.mod tests/interop/kubo/go.sum
	$(if $(Q),@echo "GO    $@")
	$(Q)tests/interop/build-go.sh tests/interop/kubo $@ github.com/ipfs/kubo/cmd/ipfs

DHT_PEERS := $(BUILD)/interop/dht $(BUILD)/interop/kubo/ipfs $(BUILD)/larder
DHT_SCALE ?= 1

## interop-dht    provider records on real DHT servers, judged by an oracle; DHT_CASES= names some
.PHONY: interop-dht
interop-dht: $(DHT_PEERS)
	prove -v --exec python3 tests/interop/dht/run.py :: $(DHT_PEERS) --scale $(DHT_SCALE) $(DHT_CASES)
soak::
	$(MAKE) interop-dht DHT_SCALE=10
