/* lib/node/p2p.h
 *
 * The libp2p host as a part of the node: there when p2p-addr is set, or when a section that needs
 * it is on (NEEDS in config.def); without p2p-addr it dials and does not listen.
 * Owns:   the host and the node's identity. Thread: loop only.
 * Errors: those of host_create, host_listen and identity_open.
 */
#ifndef LARDER_NODE_P2P_H
#define LARDER_NODE_P2P_H

#include "base/error.h"

struct config;
struct host;
struct node;
struct option_report;
struct peer_secret;

/* For parts that stand behind it in the table of parts. NULL: there is no host. */
struct host *p2p_host(const struct node *n);
const struct peer_secret *p2p_identity(const struct node *n);

/* For check-config: a line when a key is in the data directory and cannot be used. Makes nothing.
 */
void p2p_identity_check(const struct config *c, struct option_report *report);

enum err p2p_part_start(struct node *n, struct error *err);
void p2p_part_drain(struct node *n);
void p2p_part_cancel(struct node *n);
void p2p_part_stop(struct node *n);

#endif
