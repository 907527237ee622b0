## demo           install what is needed, build, run two nodes and sync a directory; DEMO_DIR=, DEMO_EXIT=1
.PHONY: demo
demo: deps
	@$(MAKE) --no-print-directory all
	@LARDER=$(BUILD)/larder tests/demo.sh
