/* lib/node/p2p.h
 *
 * The libp2p host as a part of the node: there when p2p-addr is set.
 * Owns:   the host and the node's identity. Thread: loop only.
 * Errors: those of host_create, host_listen and identity_open.
 */
#ifndef LARDER_NODE_P2P_H
#define LARDER_NODE_P2P_H

#include "base/error.h"

struct node;

enum err p2p_part_start(struct node *n, struct error *err);
void p2p_part_drain(struct node *n);
void p2p_part_cancel(struct node *n);
void p2p_part_stop(struct node *n);

#endif
