/* lib/net/protocols.h
 *
 * The rows of protocols.def as struct protocol: a name, a version rule and limits from the row, and
 * callbacks from the file that speaks it.
 *
 *     host_serve(h, PROTOCOL_ping, &echo_ops, NULL, &err);       before the first connection
 *     static struct protocol ask;                                 to open streams with
 *     protocol_init(&ask, PROTOCOL_ping, &ask_ops, NULL);
 *
 * Thread: any, but for host_serve. Errors: ERR_LIMIT from host_serve.
 */
#ifndef LARDER_NET_PROTOCOLS_H
#define LARDER_NET_PROTOCOLS_H

#include "net/stream.h"

struct host;

enum protocol_row {
    PROTOCOL_OTHER, /* of no row: those of tests */
#define PROTOCOL(name, id, version, per_peer, in_all, idle_ms, queue, sentence) PROTOCOL_##name,
#include "tables/protocols.def"
#undef PROTOCOL
    PROTOCOL_COUNT
};

void protocol_init(struct protocol *out, enum protocol_row row, const struct stream_ops *ops,
                   void *ctx);
const char *protocol_id(enum protocol_row row); /* "/ipfs/ping/1.0.0" */
/* The host keeps its own struct protocol; ops and ctx are borrowed. */
enum err host_serve(struct host *h, enum protocol_row row, const struct stream_ops *ops, void *ctx,
                    struct error *err);
/* Bit i: who serves what is named so can be asked for row i. */
uint64_t protocol_rows_served(const char *name, size_t size);
/* bee's rule: asked has the parts of served, but for the version in it ("/swarm/x/1.4.0/x"), whose
 * major number is the same and whose minor one is not above ours; the patch number is as it likes.
 */
bool protocol_match_semver(const char *served, const char *asked, size_t asked_size);

#endif
