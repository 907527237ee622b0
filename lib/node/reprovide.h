/* lib/node/reprovide.h: the keystore and the provider as a part of the node. Thread: loop only. */
#ifndef LARDER_NODE_REPROVIDE_H
#define LARDER_NODE_REPROVIDE_H

#include "base/error.h"

struct keystore;
struct node;
struct provider;

struct keystore *node_keystore(struct node *n); /* NULL: off, or not open yet */

struct provider *node_provider(struct node *n); /* NULL: off, stopping, or not begun */

/* Rows of the table of parts. */
enum err reprovide_part_start(struct node *n, struct error *err);
void reprovide_part_drain(struct node *n);
void reprovide_part_stop(struct node *n);

#endif
