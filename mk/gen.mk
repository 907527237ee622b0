# What is derived from the rows for people: the sample configuration, which is checked in so that a
# change of a row is reviewed in it, and the man page.

# The commands are linked in for the flags they take.
GEN_OBJS := $(BUILD)/obj/daemon/gen.o $(filter-out %/main.o,$(DAEMON_OBJS))

$(BUILD)/larder-gen: $(GEN_OBJS) $(BUILD)/liblarder.a
	$(if $(Q),@echo "LINK  $@")
	$(Q)$(CXX) $(LINK) $(LDFLAGS) -o $@ $(GEN_OBJS) $(BUILD)/liblarder.a $(LIBS)

$(BUILD)/larder.8: $(BUILD)/larder-gen
	$(Q)$< man > $@.new && mv $@.new $@

all: $(BUILD)/larder.8

## gen            write conf/larder.yaml anew from the rows
.PHONY: gen
gen: $(BUILD)/larder-gen
	@mkdir -p conf
	$(Q)$< yaml > conf/larder.yaml.new && mv conf/larder.yaml.new conf/larder.yaml
