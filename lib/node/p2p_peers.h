/* lib/node/p2p_peers.h
 *
 * The connections to peers as a document (/api/v1/peers) and as a table (`larder peers`).
 * Thread: loop only. Errors: ERR_UNREACHABLE without a host, ERR_BUDGET.
 */
#ifndef LARDER_NODE_P2P_PEERS_H
#define LARDER_NODE_P2P_PEERS_H

#include <stddef.h>

#include "base/error.h"

struct admin_text;
struct mem_owner;
struct node;

/* LIMIT_PEERS_TEXT_BYTES are room enough for either. mem pays while it is made. */
enum err p2p_peers_json(struct node *n, struct mem_owner *mem, struct admin_text *out,
                        struct error *err);
enum err p2p_peers_table(struct node *n, struct mem_owner *mem, struct admin_text *out,
                         struct error *err);

#endif
