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
