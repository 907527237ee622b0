/* lib/core/config_args.h
 *
 * Options from flags and from the environment. A flag is --name=value; one that is neither BOOL nor
 * CHOICE may also be written --name value; a bare BOOL or CHOICE means true; a list flag may be
 * repeated, a list in the environment has commas. "--" ends the flags.
 * Thread: any. Errors: lines of the target's report.
 */
#ifndef LARDER_CORE_CONFIG_ARGS_H
#define LARDER_CORE_CONFIG_ARGS_H

#include "core/config.h"

/* First look, before a file is read: --config, --help, and whether --data-dir is there. */
void config_args_scan(struct config_args *args, const struct option_target *t);
/* Second look: sets options and the subcommand's own flags, moves operands to the front. */
void config_args_load(struct config_args *args, const struct option_target *t);

void config_environment_load(const struct option_target *t, char *const *envp);
/* A SECRET_FILE that nobody gave is the credential of its name, when the service manager has put
 * one into $CREDENTIALS_DIRECTORY. */
void config_credentials_load(const struct option_target *t, char *const *envp);
/* The value of a variable, or NULL when it is absent or empty. */
const char *config_environment(char *const *envp, const char *name);

#endif
