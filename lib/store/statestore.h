/* lib/store/statestore.h
 *
 * Small facts that must outlive a restart, in the store `state`. A key is a kind and bytes of that
 * kind; whoever adds a kind says here what its key and value are. Puts of one moment are one synced
 * write: a put is answered when it survives a power cut.
 * Thread: loop only. Memory: the struct, and one write batch of LIMIT_STATE_BATCH_BYTES.
 * Errors: ERR_NOT_FOUND, ERR_TOO_LARGE (the value is larger than the reader's buffer), and those of
 *         store_write.
 */
#ifndef LARDER_STORE_STATESTORE_H
#define LARDER_STORE_STATESTORE_H

#include "store/stores.h"

enum state_kind {
    STATE_NODE = 'n', /* about the node itself: a name below */
    /* What is pulled of one bin of a peer: overlay[32] bin[1] -> as swarm/pull_intervals.h says. */
    STATE_PULLED = 'p',
    /* A Swarm peer we have heard of: place[1] -> as swarm/known_store.h says. */
    STATE_KNOWN = 'k',
};

/* Keys of STATE_NODE. */
#define STATE_NODE_RECORD "swarm-record" /* swarm/record.h: its time and a digest */
#define STATE_NODE_RESTORED "restored"   /* be64: ns since 1970, when a backup was put in place */

struct statestore;

enum err statestore_create(struct statestore **out, struct store *store, struct mem_owner *mem,
                           struct error *err);
void statestore_destroy(struct statestore *ss); /* NULL is fine; asserts that nothing is out */

struct state_key {
    enum state_kind kind;
    struct bytes name; /* at most LIMIT_STATE_KEY_BYTES */
};

/* A request, zeroed at first; key and value are borrowed until cb. */
struct state_put;
typedef void state_put_cb(struct state_put *req, const struct error *err);
struct state_put {
    struct state_key key;
    struct bytes value; /* at most LIMIT_STATE_VALUE_BYTES; data NULL: the fact is deleted */
    state_put_cb *cb;
    struct list link_;
};
void state_put(struct statestore *ss, struct state_put *req); /* cannot be canceled: it is short */

struct state_get;
typedef void state_get_cb(struct state_get *req, const struct error *err);
struct state_get {
    struct state_key key;
    struct writer value; /* over the caller's buffer */
    state_get_cb *cb;
    struct store_job job_;
};
/* Sees what was put before it only when that has been answered. */
void state_get(struct statestore *ss, struct state_get *req);
void state_get_cancel(struct state_get *req); /* cb still fires, with ERR_CANCELED */

/* For offline commands and migrations: now, on a store of one's own. */
enum err state_put_now(struct ldb *db, struct state_key key, struct bytes value, struct error *err);

#endif
