#include "node/swarm.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "codec/curve.h"
#include "core/config.h"
#include "core/log.h"
#include "net/ethkey.h"
#include "net/secret_file.h"
#include "node/facts.h"
#include "node/node_stores.h"
#include "node/swarm_state.h"

const struct swarm_identity *node_swarm_identity(struct node *n)
{
    return n->swarm ? &n->swarm->identity : NULL;
}

struct reserve *node_reserve(struct node *n)
{
    return n->swarm && n->swarm->open ? n->swarm->reserve : NULL;
}

struct batches *node_batches(struct node *n)
{
    return n->swarm ? n->swarm->batches : NULL;
}

void node_swarm_repair(struct node *n)
{
    assert(!n->swarm);
    n->swarm_repair = true;
}

/* ---- who we are ---- */

/* Minted once, as text, so that it can be read off and put into a configuration. */
static enum err nonce_open(int dir_fd, uint8_t out[OVERLAY_NONCE_BYTES], struct error *err)
{
    struct secret_file file;
    char text[2 * OVERLAY_NONCE_BYTES + 2];
    enum err rc = secret_file_open(dir_fd, DATADIR_SWARM_NONCE, &file, err);
    if (rc == ERR_NOT_FOUND) {
        error_clear(err);
        secret_random(out, OVERLAY_NONCE_BYTES);
        hex_encode(text, bytes_of(out, OVERLAY_NONCE_BYTES));
        text[sizeof(text) - 2] = '\n';
        return secret_file_make(dir_fd, DATADIR_SWARM_NONCE, bytes_of(text, sizeof(text) - 1), err);
    }
    if (rc)
        return rc;
    size_t size = MIN(file.size, sizeof(text) - 1);
    memcpy(text, file.data, size);
    text[size - (size > 0 && text[size - 1] == '\n')] = '\0';
    if (swarm_nonce_parse(out, text, err))
        return error_wrap(err, ERR_CORRUPT, "%s", DATADIR_SWARM_NONCE);
    return ERR_OK;
}

enum err swarm_identity_open(struct swarm_identity *id, const struct config *c, int dir_fd,
                             struct error *err)
{
    uint8_t secret[SIG_SECRET_BYTES], nonce[OVERLAY_NONCE_BYTES];
    enum err rc = c->swarm_key[0] ? ethkey_read(c->swarm_key, secret, err)
                                  : ethkey_open(dir_fd, DATADIR_SWARM_KEY, secret, err);
    if (!rc)
        rc = c->nonce[0] ? swarm_nonce_parse(nonce, c->nonce, err) : nonce_open(dir_fd, nonce, err);
    rc = rc ? rc : swarm_identity_init(id, secret, nonce, c->network_id, err);
    secret_wipe(secret, sizeof(secret));
    return rc;
}

enum err swarm_key_find(const struct config *c, int dir_fd, uint8_t out[SIG_SECRET_BYTES],
                        struct error *err)
{
    if (c->swarm_key[0])
        return ethkey_read(c->swarm_key, out, err);
    if (faccessat(dir_fd, DATADIR_SWARM_KEY, F_OK, 0))
        return error_set(err, ERR_NOT_FOUND, "there is no %s", DATADIR_SWARM_KEY);
    return ethkey_open(dir_fd, DATADIR_SWARM_KEY, out, err);
}

enum err swarm_nonce_find(const struct config *c, int dir_fd, uint8_t out[OVERLAY_NONCE_BYTES],
                          struct error *err)
{
    if (c->nonce[0])
        return swarm_nonce_parse(out, c->nonce, err);
    if (faccessat(dir_fd, DATADIR_SWARM_NONCE, F_OK, 0))
        return error_set(err, ERR_NOT_FOUND, "there is no %s", DATADIR_SWARM_NONCE);
    return nonce_open(dir_fd, out, err);
}

void swarm_identity_check(const struct config *c, struct option_report *report)
{
    uint8_t secret[SIG_SECRET_BYTES] = { 0 }, nonce[OVERLAY_NONCE_BYTES];
    struct error err;
    int dir_fd = c->swarm ? open(c->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir_fd < 0) /* the first start makes it */
        return;
    enum err rc = swarm_key_find(c, dir_fd, secret, &err);
    if (rc && rc != ERR_NOT_FOUND && !c->swarm_key[0]) /* else its line is said to be wrong */
        option_report_add(report, "%s: %s", c->data_dir, err.text);
    rc = swarm_nonce_find(c, dir_fd, nonce, &err);
    if (rc && rc != ERR_NOT_FOUND && !c->nonce[0])
        option_report_add(report, "%s: %s", c->data_dir, err.text);
    swarm_claim_check(c, dir_fd, report);
    secret_wipe(secret, sizeof(secret));
    close(dir_fd);
}

static enum err tell(struct swarm *s, struct error *err)
{
    struct facts *facts = s->node->facts;
    char overlay[2 * OVERLAY_BYTES + 1], ethereum[2 * SIG_ETH_ADDRESS_BYTES + 3] = "0x";
    hex_encode(overlay, bytes_of(s->identity.overlay, OVERLAY_BYTES));
    hex_encode(ethereum + 2, bytes_of(s->identity.ethereum, SIG_ETH_ADDRESS_BYTES));
    log_info("the overlay is %s in network %" PRIu64, overlay, s->identity.network_id);
    if (s->node->started->accept_all_stamps)
        log_warning("accept-all-stamps: chunks of any batch are taken, whoever signed for them");
    enum err rc = facts_set_text(facts, "overlay", overlay, err);
    rc = rc ? rc : facts_set_text(facts, "ethereum", ethereum, err);
    return rc ? rc : facts_set_number(facts, "network_id", s->identity.network_id, err);
}

/* ---- start ---- */

/* From the target on the has-cache stops growing, and what it has no room for is asked of the
 * index.
 */
static void on_level(struct governor_watch *w, enum governor_level level)
{
    reserve_hold_cache(container_of(w, struct swarm, marks)->reserve, level >= GOVERNOR_TARGET);
}

static void on_opened(void *ctx, const struct error *err)
{
    struct swarm *s = ctx;
    if (err) {
        node_release(s->node, &s->hold, err);
        return;
    }
    s->open = true;
    swarm_claim_look(s);
    swarm_batches_load(s, true);
}

static enum err open_reserve(struct swarm *s, struct error *err)
{
    struct node *n = s->node;
    const struct config *c = n->started;
    const struct reserve_options options = {
        .loop = n->env.loop,
        .work = n->env.work,
        .store = stores_find(node_stores(n), "reserve"),
        .slab_dir = s->slab_dir,
        .image_path = s->image_path,
        .cache_mem = node_owner(n, "hascache"),
        .queue_mem = s->mem,
        .overlay = s->identity.overlay,
        .cache = (enum reserve_cache)c->reserve_has_cache,
        .cache_bytes_max = c->reserve_has_cache_bytes,
        .has_concurrency = (uint32_t)c->pullsync_has_concurrency,
        .restored_ns = node_restored_ns(n),
        .capacity = c->reserve_capacity,
        .radius_min = (uint8_t)c->storage_radius,
        .repair = n->swarm_repair,
    };
    snprintf(s->slab_dir, sizeof(s->slab_dir), "%s/" SLAB_DIR_NAME, c->data_dir);
    snprintf(s->image_path, sizeof(s->image_path), "%s/hascache.image", c->data_dir);
    enum err rc = reserve_create(&s->reserve, &options, err);
    if (rc)
        return rc;
    s->marks.cb = on_level;
    governor_watch_add(n->env.governor, &s->marks);
    on_level(&s->marks, governor_level(n->env.governor));
    node_hold(n, &s->hold, "opening the reserve");
    reserve_open(s->reserve, on_opened, s);
    return ERR_OK;
}

enum err swarm_part_start(struct node *n, struct error *err)
{
    if (!n->started->swarm)
        return ERR_OK;
    struct mem_owner *mem = node_owner(n, "putqueue");
    struct swarm *s = n->swarm = mem_zalloc(mem, sizeof(*s));
    s->node = n;
    s->mem = mem;
    s->load.fd = -1;
    timer_init(&s->expiry.retry, n->env.loop, swarm_expiry_due, "batches_expiry");
    enum err rc = swarm_identity_open(&s->identity, n->started, n->datadir.fd, err);
    rc = rc ? rc : tell(s, err);
    rc = rc ? rc : open_reserve(s, err);
    if (rc)
        return rc;
    s->section.name = "swarm";
    s->section.write = swarm_status_write;
    status_section_add(node_status(n), &s->section);
    s->condition.name = "reserve";
    s->condition.look = swarm_look_reserve;
    status_condition_add(node_status(n), &s->condition);
    return ERR_OK;
}

void swarm_part_reload(struct node *n)
{
    struct swarm *s = n->swarm;
    if (!s || !s->open)
        return;
    sem_limit_set(reserve_has_sem(s->reserve), (uint32_t)n->env.config->pullsync_has_concurrency);
    reserve_set_capacity(s->reserve, n->env.config->reserve_capacity);
    swarm_batches_load(s, false);
}

/* ---- stop ---- */

void swarm_part_drain(struct node *n)
{
    struct swarm *s = n->swarm;
    if (!s || s->stopping)
        return;
    s->stopping = true;
    if (swarm_batches_drain(s))
        node_hold(n, &s->drain, "the table of batches");
}

static void swarm_free(struct swarm *s)
{
    struct node *n = s->node;
    status_section_remove(&s->section);
    status_condition_remove(&s->condition);
    if (s->marks.cb)
        governor_watch_remove(&s->marks);
    reserve_destroy(s->reserve);
    batches_destroy(s->batches);
    swarm_identity_wipe(&s->identity);
    n->swarm = NULL;
    mem_free(s->mem, s);
}

static void on_closed(void *ctx, const struct error *err)
{
    struct swarm *s = ctx;
    struct node *n = s->node;
    if (err)
        log_warning("the image of the has-cache is not saved: %s", err->text);
    node_release(n, &s->hold, NULL); /* its next step is a deferred call */
    swarm_free(s);
}

void swarm_claim_ended(struct swarm *s)
{
    reserve_close(s->reserve, on_closed, s);
}

void swarm_part_stop(struct node *n)
{
    struct swarm *s = n->swarm;
    if (!s)
        return;
    if (!s->open) {
        swarm_free(s);
        return;
    }
    s->open = false;
    node_hold(n, &s->hold, "closing the reserve");
    if (!swarm_claim_stop(s))
        swarm_claim_ended(s);
}
