#include "store/statestore.h"

#include "base/mem.h"

struct statestore {
    struct store *store; /* borrowed */
    struct mem_owner *mem;
    struct list waiting, group; /* of state_put; group is the worker's while job runs */
    struct store_job job;
    bool writing;
    struct ldb_batch *batch; /* owned; of LevelDB's memory, charged to mem */
};

static struct bytes key_encode(struct state_key key, uint8_t buf[1 + LIMIT_STATE_KEY_BYTES])
{
    assert(key.name.size <= LIMIT_STATE_KEY_BYTES);
    struct writer w = writer_of(buf, 1 + LIMIT_STATE_KEY_BYTES);
    writer_u8(&w, (uint8_t)key.kind);
    writer_put(&w, key.name.data, key.name.size);
    return bytes_of(buf, writer_used(&w));
}

enum err statestore_create(struct statestore **out, struct store *store, struct mem_owner *mem,
                           struct error *err)
{
    struct statestore *ss = mem_zalloc(mem, sizeof(*ss));
    ss->store = store;
    ss->mem = mem;
    list_init(&ss->waiting);
    list_init(&ss->group);
    if (!mem_take(mem, LIMIT_STATE_BATCH_BYTES)) {
        mem_free(mem, ss);
        return mem_refused(mem, LIMIT_STATE_BATCH_BYTES, err);
    }
    ss->batch = ldb_batch_create(LIMIT_STATE_BATCH_BYTES);
    *out = ss;
    return ERR_OK;
}

void statestore_destroy(struct statestore *ss)
{
    if (!ss)
        return;
    assert(!ss->writing && list_empty(&ss->waiting));
    ldb_batch_destroy(ss->batch);
    mem_give(ss->mem, LIMIT_STATE_BATCH_BYTES);
    mem_free(ss->mem, ss);
}

static enum err batch_add(struct ldb_batch *batch, struct state_key key, struct bytes value,
                          struct error *err)
{
    uint8_t buf[1 + LIMIT_STATE_KEY_BYTES];
    struct bytes k = key_encode(key, buf);
    return value.data ? ldb_batch_put(batch, k, value, err) : ldb_batch_delete(batch, k, err);
}

static enum err group_write(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct statestore *ss = container_of(job, struct statestore, job);
    enum err rc = ERR_OK;
    ldb_batch_clear(ss->batch);
    for (struct list *l = ss->group.next; !rc && l != &ss->group; l = l->next) {
        struct state_put *req = container_of(l, struct state_put, link_);
        rc = batch_add(ss->batch, req->key, req->value, err);
    }
    return rc ? rc : store_commit(job, ss->batch, true, err);
}

static void group_start(struct statestore *ss);

static void group_done(struct store_job *job, const struct error *err)
{
    struct statestore *ss = container_of(job, struct statestore, job);
    struct list done;
    list_init(&done);
    list_move_all(&done, &ss->group);
    ss->writing = false;
    group_start(ss); /* before the callbacks, whose puts are the next group's */
    for (struct list *link; (link = list_pop(&done));) {
        struct state_put *req = container_of(link, struct state_put, link_);
        req->cb(req, err);
    }
}

/* As many as surely fit. */
static void group_start(struct statestore *ss)
{
    static_assert(LIMIT_STATE_GROUP * (LIMIT_STATE_KEY_BYTES + LIMIT_STATE_VALUE_BYTES + 32) <=
                      LIMIT_STATE_BATCH_BYTES,
                  "a full group fits into a write batch");
    struct list *link;
    for (uint32_t n = 0; n < LIMIT_STATE_GROUP && (link = list_pop(&ss->waiting)); n++)
        list_append(&ss->group, link);
    if (list_empty(&ss->group))
        return;
    ss->writing = true;
    store_write(ss->store, &ss->job, group_write, group_done);
}

void state_put(struct statestore *ss, struct state_put *req)
{
    assert(req->cb && req->value.size <= LIMIT_STATE_VALUE_BYTES);
    list_append(&ss->waiting, &req->link_);
    if (!ss->writing)
        group_start(ss);
}

static enum err get_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct state_get *req = container_of(job, struct state_get, job_);
    uint8_t buf[1 + LIMIT_STATE_KEY_BYTES];
    return ldb_get(db, NULL, key_encode(req->key, buf), &req->value, err);
}

static void get_done(struct store_job *job, const struct error *err)
{
    struct state_get *req = container_of(job, struct state_get, job_);
    req->cb(req, err);
}

void state_get(struct statestore *ss, struct state_get *req)
{
    assert(req->cb);
    store_read(ss->store, &req->job_, get_run, get_done);
}

void state_get_cancel(struct state_get *req)
{
    store_job_cancel(&req->job_);
}

enum err state_put_now(struct ldb *db, struct state_key key, struct bytes value, struct error *err)
{
    struct ldb_batch *batch = ldb_batch_create(LIMIT_STATE_BATCH_BYTES);
    enum err rc = batch_add(batch, key, value, err);
    if (!rc)
        rc = ldb_write(db, batch, true, err);
    ldb_batch_destroy(batch);
    return rc;
}
