/* Content into the reserve and out of it, for the control socket. The node reads and writes the
 * files itself, so it must be allowed to. */
#include <stdio.h>

#include "base/hex.h"
#include "base/mem.h"
#include "codec/curve.h"
#include "core/config.h"
#include "net/ethkey.h"
#include "node/admin_commands.h"
#include "node/admin_reserve.h"
#include "node/swarm.h"
#include "node/swarm_state.h"
#include "swarm/download.h"
#include "swarm/upload.h"

#define ISSUER_DIR "stamps"

/* ---- upload ---- */

struct upload_command {
    struct admin_session *session;
    struct upload *upload;
    struct work key_work;
    struct sig_signer signer;
    struct batches *batches; /* in use by us */
    struct upload_options options;
    uint8_t secret[SIG_SECRET_BYTES];
    char issuer_dir[LIMIT_PATH_BYTES];
};

static void upload_free(struct upload_command *c)
{
    struct node *n = c->session->node;
    n->swarm->uploading = false;
    c->session->on_gone = NULL;
    batches_destroy(c->batches);
    upload_destroy(c->upload);
    sig_signer_wipe(&c->signer);
    secret_wipe(c->secret, sizeof(c->secret));
    mem_free(n->swarm->mem, c);
}

static void upload_fail(struct upload_command *c, const struct error *err)
{
    struct admin_session *s = c->session;
    struct error failed = *err; /* it may be the upload's */
    upload_free(c);
    admin_fail_path(s, &failed);
}

static void on_upload_progress(void *ctx, const struct upload_progress *now)
{
    struct upload_command *c = ctx;
    const struct admin_progress p = { "uploaded", true, now->bytes, now->bytes_total };
    (void)admin_progress(c->session, &p);
}

static void on_uploaded(void *ctx, const uint8_t reference[CHUNK_ADDRESS_BYTES],
                        const struct error *err)
{
    struct upload_command *c = ctx;
    struct admin_session *s = c->session;
    struct upload_progress now;
    char text[2 * CHUNK_ADDRESS_BYTES + 1], told[256];
    if (err) {
        upload_fail(c, err);
        return;
    }
    upload_status(c->upload, &now);
    int size = snprintf(told, sizeof(told),
                        "%s in %" PRIu32 " files, %" PRIu64 " chunks, %" PRIu64
                        " of them stamped and stored%s\n",
                        units_size_about(now.bytes).text, now.files, now.chunks, now.stored,
                        now.left_out ? "; links and what else is no file were left out" : "");
    admin_write(s, ADMIN_ERR, told, (size_t)size);
    admin_print(s, "%s\n", hex_encode(text, bytes_of(reference, CHUNK_ADDRESS_BYTES)));
    upload_free(c);
    admin_end(s, 0);
}

static void upload_on_gone(struct admin_session *s)
{
    struct upload_command *c = s->state;
    if (c->upload)
        upload_cancel(c->upload);
}

/* Worker: the secret is its own. */
static enum err key_run(struct work *w, struct error *err)
{
    struct upload_command *c = container_of(w, struct upload_command, key_work);
    return ethkey_read(c->session->argv[3], c->secret, err);
}

static void key_done(struct work *w, const struct error *err)
{
    struct upload_command *c = container_of(w, struct upload_command, key_work);
    struct error failed = { ERR_OK, "" };
    if (!err && admin_gone(c->session))
        error_set(&failed, ERR_CANCELED, "canceled");
    else if (!err && !ethkey_signer(&c->signer, c->secret, &failed))
        err_ignore(upload_start(&c->upload, &c->options, &failed));
    if (err || failed.code)
        upload_fail(c, err ? err : &failed);
}

static enum err upload_prepare(struct upload_command *c, struct error *err)
{
    struct node *n = c->session->node;
    struct swarm *swarm = n->swarm;
    const char *id = c->session->argv[2];
    size_t size = 0;
    c->options = (struct upload_options){
        .loop = n->env.loop,
        .work = n->env.work,
        .reserve = swarm->reserve,
        .mem = swarm->mem,
        .path = c->session->argv[1],
        .issuer_dir = c->issuer_dir,
        .signer = &c->signer,
        .progress = on_upload_progress,
        .done = on_uploaded,
        .ctx = c,
    };
    snprintf(c->issuer_dir, sizeof(c->issuer_dir), "%s/" ISSUER_DIR, n->started->data_dir);
    if (hex_decode(id, strlen(id), c->options.batch, STAMP_BATCH_BYTES, &size, NULL) ||
        size != STAMP_BATCH_BYTES)
        return error_set(err, ERR_USAGE, "a batch is named by 64 hex digits");
    const struct batch *batch = c->batches ? batches_find(c->batches, c->options.batch) : NULL;
    if (!batch)
        return error_set(err, ERR_REFUSED,
                         "the batch is not in the table of option batches: its chunks would not "
                         "be taken by anybody");
    c->options.rules = batch->rules;
    return ERR_OK;
}

void admin_upload_start(struct admin_session *s)
{
    struct swarm *swarm = s->node->swarm;
    struct error err = { ERR_OK, "" };
    struct upload_command *c = NULL;
    enum err rc = node_admits(s->node, &err);
    if (!rc && swarm->uploading)
        error_set(&err, ERR_LIMIT, "another upload is under way");
    else if (!rc && !(c = mem_try_zalloc(swarm->mem, sizeof(*c))))
        mem_refused(swarm->mem, sizeof(*c), &err);
    if (err.code) {
        admin_fail(s, &err);
        return;
    }
    swarm->uploading = true;
    c->session = s;
    c->batches = batches_use(swarm->batches);
    s->state = c;
    s->on_gone = upload_on_gone;
    if (upload_prepare(c, &err))
        upload_fail(c, &err);
    else
        work_submit(s->node->env.work, &c->key_work, WORK_READ, key_run, key_done);
}

/* ---- download ---- */

struct download_command {
    struct admin_session *session;
    struct download *download;
};

static void on_download_progress(void *ctx, const struct download_progress *now)
{
    struct download_command *c = ctx;
    const struct admin_progress p = { "downloaded", true, now->bytes, now->bytes_total };
    (void)admin_progress(c->session, &p);
}

static void download_on_gone(struct admin_session *s)
{
    struct download_command *c = s->state;
    download_cancel(c->download);
}

static void on_downloaded(void *ctx, const struct error *err)
{
    struct download_command *c = ctx;
    struct admin_session *s = c->session;
    struct download_progress now;
    struct error failed = { ERR_OK, "" };
    char told[128];
    if (err)
        failed = *err;
    download_status(c->download, &now);
    download_destroy(c->download);
    s->on_gone = NULL;
    mem_free(s->node->swarm->mem, c);
    if (failed.code) {
        admin_fail_path(s, &failed);
        return;
    }
    int size = snprintf(told, sizeof(told), "%s in %" PRIu64 " files, %" PRIu64 " chunks\n",
                        units_size_about(now.bytes).text, now.files, now.chunks);
    admin_write(s, ADMIN_ERR, told, (size_t)size);
    admin_end(s, 0);
}

void admin_download_start(struct admin_session *s)
{
    struct swarm *swarm = s->node->swarm;
    struct error err = { ERR_OK, "" };
    struct download_command *c = mem_try_zalloc(swarm->mem, sizeof(*c));
    struct download_options options = {
        .loop = s->node->env.loop,
        .work = s->node->env.work,
        .reserve = swarm->reserve,
        .mem = swarm->mem,
        .path = s->argv[2],
        .raw = !strcmp(s->argv[3], "raw"),
        .progress = on_download_progress,
        .done = on_downloaded,
        .ctx = c,
    };
    size_t size = 0;
    if (!c)
        mem_refused(swarm->mem, sizeof(*c), &err);
    else if (hex_decode(s->argv[1], strlen(s->argv[1]), options.reference, CHUNK_ADDRESS_BYTES,
                        &size, NULL) ||
             size != CHUNK_ADDRESS_BYTES)
        error_set(&err, ERR_USAGE,
                  "a reference is 64 hex digits (encrypted ones have 128 and are "
                  "not built)");
    else
        err_ignore(download_start(&c->download, &options, &err));
    if (err.code) {
        mem_free(swarm->mem, c);
        admin_fail(s, &err);
        return;
    }
    c->session = s;
    s->state = c;
    s->on_gone = download_on_gone;
}
