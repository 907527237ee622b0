## demo           install what is needed, build, run a node from start to stop, and show it
.PHONY: demo
demo: deps
	@$(MAKE) --no-print-directory all
	@LARDER=$(BUILD)/larder tests/demo.sh
