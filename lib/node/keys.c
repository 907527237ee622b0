#include "node/keys.h"

#include <stdio.h>

#include "base/mem.h"
#include "codec/keytext.h"
#include "core/loop.h"
#include "core/work.h"
#include "node/keys_import.h"
#include "store/keystore_stage.h"

enum { EXPORT_KEYS = 2048, EXPORT_PIECE = 128, PROGRESS_MS = 500, BAR = 20 };

struct keys_command {
    struct keys_place place;
    struct keys_io io;
    uint32_t argc;
    const char *const *argv;
    const struct keys_verb *verb;
    struct keyset keys, part; /* part: of keys, in one write */
    uint32_t written;
    struct keystore_write write;
    struct keystore_count count;
    struct keystore_read read;
    struct keystore_has has;
    uint8_t have[LIMIT_KEYSTORE_BATCH_KEYS / 8], pending[LIMIT_KEYSTORE_BATCH_KEYS / 8];
    struct keys_import *import;
    struct work slice;
    struct deferred later;
    uint32_t printed; /* keys of the set that were exported */
    struct keystore_stage stage;
    bool busy, stopped, full, bar, replace;
    uint64_t changed, known, before, started_ms, shown_ms;
};

struct keys_verb {
    const char *name;
    uint32_t argc_min, argc_max;
    uint32_t set; /* keys of the set it needs */
    void (*run)(struct keys_command *c);
};

static void finish(struct keys_command *c, int exit_code, const struct error *err)
{
    struct keys_io io = c->io;
    struct error failure = { ERR_OK, "" };
    struct mem_owner *mem = c->place.mem;
    if (err)
        failure = *err;
    keystore_stage_end(&c->stage);
    if (c->import)
        keys_import_close(c->import);
    mem_free(mem, c->import);
    keyset_free(&c->keys);
    loop_defer_cancel(&c->later);
    mem_free(mem, c);
    io.done(io.ctx, exit_code, err ? &failure : NULL);
}

static bool say(struct keys_command *c, bool to_stderr, const char *text)
{
    c->full = !c->io.print(c->io.ctx, to_stderr, text);
    return !c->full;
}

static bool was_stopped(struct keys_command *c)
{
    static const struct error stopped = { ERR_CANCELED, "stopped" };
    c->busy = false;
    if (c->stopped)
        finish(c, 0, &stopped);
    return c->stopped;
}

/* ---- add, rm, has ---- */

static enum err parse_words(struct keys_command *c, struct error *err)
{
    uint8_t buf[CID_BYTES_MAX];
    struct bytes hash;
    for (uint32_t i = 0; i < c->argc; i++) {
        enum err rc = key_from_text(c->argv[i], strlen(c->argv[i]), buf, &hash, err);
        if (rc)
            return error_wrap(err, rc, "%.80s", c->argv[i]);
        if (!keyset_add(&c->keys, hash))
            return error_set(err, ERR_TOO_LARGE, "too many keys for one command line");
    }
    return ERR_OK;
}

static void on_changed(struct keystore_write *req, const struct error *err)
{
    struct keys_command *c = container_of(req, struct keys_command, write);
    char text[128];
    if (!err) {
        bool add = req->op == KEYSTORE_ADD;
        snprintf(text, sizeof(text), "%" PRIu32 " %s, %" PRIu32 " %s\n", req->changed,
                 add ? "added" : "removed", c->keys.count - req->changed,
                 add ? "were there" : "were not there");
        (void)say(c, false, text);
    }
    finish(c, 0, err);
}

static void run_change(struct keys_command *c, enum keystore_op op)
{
    c->write =
        (struct keystore_write){ .op = op, .keys = &c->keys, .sync = true, .cb = on_changed };
    c->busy = true;
    keystore_write(c->place.keystore, &c->write);
}

static void run_add(struct keys_command *c)
{
    run_change(c, KEYSTORE_ADD);
}

static void run_rm(struct keys_command *c)
{
    run_change(c, KEYSTORE_REMOVE);
}

static void on_has(struct keystore_has *req, const struct error *err)
{
    struct keys_command *c = container_of(req, struct keys_command, has);
    uint32_t absent = 0;
    for (uint32_t i = 0; !err && i < c->keys.count; i++) {
        char text[CID_TEXT_MAX + 32], cid[CID_TEXT_MAX];
        bool have = req->have[i / 8] >> (i % 8) & 1, pending = req->pending[i / 8] >> (i % 8) & 1;
        snprintf(text, sizeof(text), "%s %s\n", key_to_text(keyset_hash(&c->keys, i), cid),
                 !have     ? "absent"
                 : pending ? "present, not provided yet"
                           : "present");
        absent += !have;
        (void)say(c, false, text);
    }
    finish(c, absent > 0, err);
}

static void run_has(struct keys_command *c)
{
    c->has = (struct keystore_has){
        .keys = &c->keys, .have = c->have, .pending = c->pending, .cb = on_has
    };
    c->busy = true;
    keystore_has(c->place.keystore, &c->has);
}

/* ---- count ---- */

static void on_count(struct keystore_count *req, const struct error *err)
{
    struct keys_command *c = container_of(req, struct keys_command, count);
    char text[64];
    snprintf(text, sizeof(text), "%" PRIu64 "\n", req->count);
    if (!err)
        (void)say(c, false, text);
    finish(c, 0, err);
}

static bool parse_bits(const char *text, struct kad_prefix *out)
{
    *out = (struct kad_prefix){ 0, 0 };
    for (; *text; text++) {
        if ((*text != '0' && *text != '1') || out->len == 64)
            return false;
        out->bits |= (uint64_t)(*text - '0') << (63 - out->len++);
    }
    return true;
}

static void run_count(struct keys_command *c)
{
    struct error err;
    c->count = (struct keystore_count){ .cb = on_count };
    if (c->argc == 1 && !parse_bits(c->argv[0], &c->count.prefix)) {
        error_set(&err, ERR_USAGE, "a prefix is up to 64 binary digits");
        finish(c, 2, &err);
        return;
    }
    c->busy = true;
    keystore_count(c->place.keystore, &c->count);
}

/* ---- import ---- */

static void import_next(struct keys_command *c);
static void import_write(struct keys_command *c);

static void progress(struct keys_command *c, bool last)
{
    uint64_t now = loop_now_ms(c->place.loop), ms = MAX(now - c->started_ms, 1);
    const struct keys_import *in = c->import;
    char text[160], bar[BAR + 1] = "";
    if (!c->bar || c->full || (!last && now - c->shown_ms < PROGRESS_MS))
        return;
    c->shown_ms = now;
    uint64_t part = in->size_bytes ? MIN(in->read_bytes * BAR / in->size_bytes, BAR) : 0;
    for (uint32_t i = 0; i < BAR; i++)
        bar[i] = i < part ? '#' : '.';
    snprintf(text, sizeof(text), "\r[%s] %" PRIu64 " keys, %" PRIu64 " keys/s, %" PRIu64 " bad%s",
             in->size_bytes ? bar : "?", in->keys, in->keys * 1000 / ms, in->bad, last ? "\n" : "");
    (void)say(c, true, text);
}

static void import_report(struct keys_command *c)
{
    const struct keys_import *in = c->import;
    uint64_t ms = MAX(loop_now_ms(c->place.loop) - c->started_ms, 1);
    char text[240];
    if (c->replace)
        snprintf(text, sizeof(text),
                 "%" PRIu64 " keys read: %" PRIu64 " new, %" PRIu64 " were there, %" PRIu64
                 " repeated, %" PRIu64 " bad lines; %" PRIu64 " keys in place of %" PRIu64
                 "; %" PRIu64 " keys/s\n",
                 in->keys, c->changed - c->known, c->known, in->keys - c->changed, in->bad,
                 keystore_total(c->place.keystore), c->before, in->keys * 1000 / ms);
    else
        snprintf(text, sizeof(text),
                 "%" PRIu64 " keys read: %" PRIu64 " added, %" PRIu64
                 " were there or repeated, %" PRIu64 " bad lines; %" PRIu64 " keys/s\n",
                 in->keys, c->changed, in->keys - c->changed, in->bad, in->keys * 1000 / ms);
    (void)say(c, false, text);
}

static void on_import_synced(struct keystore_write *req, const struct error *err)
{
    struct keys_command *c = container_of(req, struct keys_command, write);
    if (!err) {
        progress(c, true);
        import_report(c);
    }
    finish(c, c->import->bad > 0, err);
}

static void on_import_written(struct keystore_write *req, const struct error *err)
{
    struct keys_command *c = container_of(req, struct keys_command, write);
    c->changed += req->changed;
    c->known += req->known;
    if (err)
        finish(c, 0, err);
    else if (was_stopped(c))
        return;
    else if (c->written < c->keys.count)
        import_write(c);
    else
        import_next(c);
}

/* The next of the sorted keys. */
static void import_write(struct keys_command *c)
{
    uint32_t count = MIN(c->keys.count - c->written, (uint32_t)LIMIT_KEYSTORE_BATCH_KEYS);
    c->part = keyset_part(&c->keys, c->written, count);
    c->written += count;
    c->write = (struct keystore_write){ .op = c->replace ? KEYSTORE_STAGE : KEYSTORE_ADD,
                                        .keys = &c->part,
                                        .cb = on_import_written };
    c->busy = true;
    keystore_write(c->place.keystore, &c->write);
}

static enum err slice_run(struct work *w, struct error *err)
{
    struct keys_command *c = container_of(w, struct keys_command, slice);
    enum err rc = ERR_OK;
    if (c->import->fd_ < 0)
        rc = keys_import_open(c->import, c->argv[0], err);
    rc = rc ? rc : keys_import_slice(c->import, &c->keys, err);
    if (!rc)
        keyset_sort(&c->keys); /* repeated lines are no new keys */
    return rc;
}

/* All is synced; and what was staged is the keystore from now on. */
static void import_end(struct keys_command *c)
{
    struct error err;
    if (c->replace && c->changed == 0) {
        error_set(&err, ERR_MALFORMED, "no key in it: nothing was replaced");
        finish(c, 0, &err);
        return;
    }
    c->before = keystore_total(c->place.keystore);
    c->write = (struct keystore_write){ .op = c->replace ? KEYSTORE_SWITCH : KEYSTORE_ROWS,
                                        .sync = true,
                                        .cb = on_import_synced };
    c->busy = true;
    keystore_write(c->place.keystore, &c->write);
}

static void slice_done(struct work *w, const struct error *err)
{
    struct keys_command *c = container_of(w, struct keys_command, slice);
    if (err) {
        finish(c, 0, err);
        return;
    }
    if (was_stopped(c))
        return;
    if (c->import->text_used > 0 && !c->full)
        (void)say(c, true, c->import->text);
    progress(c, false);
    if (c->import->end && c->keys.count == 0) {
        import_end(c);
        return;
    }
    c->written = 0;
    import_write(c);
}

static void import_next(struct keys_command *c)
{
    c->busy = true;
    work_submit(c->place.work, &c->slice, WORK_READ, slice_run, slice_done);
}

static void on_stage(struct keystore_stage *stage)
{
    struct keys_command *c = container_of(stage, struct keys_command, stage);
    c->started_ms = loop_now_ms(c->place.loop);
    import_next(c);
}

static void run_import(struct keys_command *c)
{
    struct error err;
    struct keystore_status st;
    char text[128];
    c->import = mem_try_zalloc(c->place.mem, sizeof(*c->import));
    if (!c->import) {
        mem_refused(c->place.mem, sizeof(*c->import), &err);
        finish(c, 0, &err);
        return;
    }
    c->import->fd_ = -1;
    for (uint32_t i = 1; i < c->argc; i++) {
        c->bar |= !strcmp(c->argv[i], "bar");
        c->replace |= !strcmp(c->argv[i], "replace");
    }
    c->started_ms = loop_now_ms(c->place.loop);
    if (!c->replace) {
        import_next(c);
        return;
    }
    keystore_status(c->place.keystore, &st);
    snprintf(text, sizeof(text),
             "waiting for another replacement, and for %" PRIu64
             " keys of former ones to be swept\n",
             st.left);
    if (st.staging || st.left > 0)
        (void)say(c, true, text);
    c->stage.cb = on_stage;
    keystore_stage(c->place.keystore, &c->stage);
}

/* ---- export ---- */

static void export_on(struct deferred *d);

static void on_export(struct keystore_read *req, const struct error *err)
{
    struct keys_command *c = container_of(req, struct keys_command, read);
    c->printed = 0;
    if (err)
        finish(c, 0, err);
    else if (!was_stopped(c))
        export_on(&c->later);
}

static void export_read(struct keys_command *c)
{
    c->busy = true;
    keystore_read(c->place.keystore, &c->read);
}

/* A piece of output, until the reader is slow. */
static void export_on(struct deferred *d)
{
    struct keys_command *c = container_of(d, struct keys_command, later);
    char text[CID_TEXT_MAX + 2], cid[CID_TEXT_MAX];
    uint32_t stop = MIN(c->printed + EXPORT_PIECE, c->keys.count);
    for (; c->printed < stop && !c->full; c->printed++) {
        snprintf(text, sizeof(text), "%s\n", key_to_text(keyset_hash(&c->keys, c->printed), cid));
        (void)say(c, false, text);
    }
    if (c->full)
        return; /* keys_space goes on */
    if (c->printed < c->keys.count)
        loop_defer(c->place.loop, &c->later, export_on);
    else if (c->read.end)
        finish(c, 0, NULL);
    else
        export_read(c);
}

static void run_export(struct keys_command *c)
{
    c->read = (struct keystore_read){ .kind = KEYSTORE_KEYS, .keys = &c->keys, .cb = on_export };
    export_read(c);
}

/* ---- */

static const struct keys_verb verbs[] = {
    { "add", 1, UINT32_MAX, LIMIT_KEYSTORE_BATCH_KEYS, run_add },
    { "rm", 1, UINT32_MAX, LIMIT_KEYSTORE_BATCH_KEYS, run_rm },
    { "has", 1, UINT32_MAX, LIMIT_KEYSTORE_BATCH_KEYS, run_has },
    { "count", 0, 1, 1, run_count },
    { "import", 1, 3, LIMIT_KEYSTORE_IMPORT_KEYS, run_import },
    { "export", 0, 0, EXPORT_KEYS, run_export },
};

static void run_later(struct deferred *d)
{
    struct keys_command *c = container_of(d, struct keys_command, later);
    struct error err = { ERR_OK, "" };
    if (c->verb->argc_max == UINT32_MAX && parse_words(c, &err))
        finish(c, 0, &err);
    else if (!was_stopped(c))
        c->verb->run(c);
}

enum err keys_start(struct keys_command **out, const struct keys_place *place, uint32_t argc,
                    const char *const *argv, const struct keys_io *io, struct error *err)
{
    const struct keys_verb *verb = NULL;
    for (uint32_t i = 0; argc > 0 && i < ARRAY_SIZE(verbs); i++)
        if (!strcmp(verbs[i].name, argv[0]))
            verb = &verbs[i];
    if (!verb || argc - 1 < verb->argc_min || argc - 1 > verb->argc_max)
        return error_set(
            err, ERR_USAGE,
            "keys takes add KEY..., rm KEY..., has KEY..., count, import FILE or export");
    struct keys_command *c = mem_zalloc(place->mem, sizeof(*c));
    c->place = *place;
    c->io = *io;
    c->argc = argc - 1;
    c->argv = argv + 1;
    c->verb = verb;
    uint32_t set = verb->set; /* an import can do with fewer at a time */
    while (!keyset_init(&c->keys, place->mem, set) && set > LIMIT_KEYSTORE_BATCH_KEYS)
        set /= 2;
    if (!c->keys.bytes_) {
        mem_free(place->mem, c);
        return mem_refused(place->mem, keyset_bytes(verb->set), err);
    }
    loop_defer(place->loop, &c->later, run_later);
    *out = c;
    return ERR_OK;
}

void keys_space(struct keys_command *c)
{
    bool waits = c->full && c->verb->run == run_export;
    c->full = false;
    if (waits && !deferred_pending(&c->later))
        loop_defer(c->place.loop, &c->later, export_on);
}

static void stop_later(struct deferred *d)
{
    (void)was_stopped(container_of(d, struct keys_command, later));
}

void keys_stop(struct keys_command *c)
{
    c->stopped = true;
    if (c->busy)
        return;                    /* what is under way comes back and sees it */
    keystore_stage_end(&c->stage); /* it may still wait for that */
    loop_defer_cancel(&c->later);
    loop_defer(c->place.loop, &c->later, stop_later);
}
