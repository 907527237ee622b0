/* lib/core/config_yaml.h
 *
 * Reads a YAML file into options: one flat mapping of names to scalars, and to sequences of scalars
 * for lists. Refused, each with its line: a duplicate or unknown key, an anchor or alias, a tag, a
 * second document, a nested value.
 * Thread: any; blocks on the disk.
 */
#ifndef LARDER_CORE_CONFIG_YAML_H
#define LARDER_CORE_CONFIG_YAML_H

#include "core/option.h"

/* Everything wrong is added to t->report; after an error of syntax nothing more is read. */
void config_yaml_load(const struct option_target *t, const char *path);

#endif
