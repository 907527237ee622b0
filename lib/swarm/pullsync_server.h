/* lib/swarm/pullsync_server.h
 *
 * Serves our reserve to peers: /swarm/pullsync/1.4.0, streams `cursors` and `pullsync`.
 * Real clients ask again at once whatever we answer. So nothing here answers empty or resets under
 * load: a request waits for entries, for memory, for the governor, for its rate, for as long as it
 * takes.
 * Owns:   sessions, pages, what is known of each peer's rate. Borrows host, reserve, owner.
 * Memory: some 400 bytes per parked stream; 28 KB per page that is collected or offered; 140 KB per
 *         session that delivers, of which one is set apart so that there is always progress.
 * Thread: loop only. Errors: ERR_LIMIT (the host takes no more protocols), ERR_BUDGET.
 */
#ifndef LARDER_SWARM_PULLSYNC_SERVER_H
#define LARDER_SWARM_PULLSYNC_SERVER_H

#include "net/host.h"
#include "store/reserve.h"

struct pullsync_server;

struct pullsync_server_options { /* borrowed pointers outlive the server */
    struct loop *loop;
    struct host *host; /* NULL: a test opens streams itself */
    struct reserve *reserve;
    struct mem_owner *mem;     /* "pullsync" */
    struct governor *governor; /* from its trigger on no page is begun; NULL: none */
    uint32_t rate;             /* chunks per second and peer; 0: unlimited */
    /* Is the handshake with this peer through? Others are not served. NULL: all are. */
    bool (*admits)(void *ctx, const struct peer_id *peer);
    void *ctx;
};
/* Registers its protocols: before the first host_listen. */
enum err pullsync_server_create(struct pullsync_server **out,
                                const struct pullsync_server_options *o, struct error *err);
void pullsync_server_set_rate(struct pullsync_server *s, uint32_t rate);
/* Every session is reset and none is begun; done is called once, when nothing of it is out at the
 * reserve. */
void pullsync_server_stop(struct pullsync_server *s, void (*done)(void *ctx), void *ctx);
/* NULL is fine; stopped and done. The host is closed before: it knows the protocols. */
void pullsync_server_destroy(struct pullsync_server *s);

const struct protocol *pullsync_server_pages(struct pullsync_server *s); /* for tests */
const struct protocol *pullsync_server_cursors(struct pullsync_server *s);

struct pullsync_server_status {
    uint32_t sessions, parked, delivering, peers;
    uint32_t pages;                         /* collected or held */
    uint64_t offered, wanted, delivered;    /* chunks, since the start */
    uint64_t gone;                          /* wanted and not there any more */
    uint64_t pages_collected, pages_shared; /* shared: answered with a page made for another */
};
void pullsync_server_status(const struct pullsync_server *s, struct pullsync_server_status *out);

#endif
