# Acceptance runs. A room adds its own with a line in its mk/*.mk:
#     soak:: check-thing-large
#     soak-tenth:: check-thing
# and soak-tenth, which CI runs, stays a tenth of soak.

## soak           the long and large acceptance runs
.PHONY: soak soak-tenth
soak::

## soak-tenth     what CI runs of them
soak-tenth::
