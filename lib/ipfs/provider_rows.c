/* What outlives a restart: when parts were provided, how far passes came, totals. A pass came as
 * far as its servers said they had read: what a killed process had sent may still have been on its
 * way, a window of each stream, and is lost with the connection. */
#include "base/mem.h"
#include "core/log.h"
#include "ipfs/provider_state.h"

static const char totals_key[] = "mprovider";
enum { TOTALS_BYTES = 96, TOTALS_BYTES_SHORT = 56 }; /* short: without what is measured */

/* ---- loading: preimages, then 'r', 'p' and 'm' ---- */

static void load_rows(struct provider *p, uint8_t kind);

static void take_totals(struct provider *p, struct bytes key, struct bytes value)
{
    if (!bytes_equal(key, bytes_of(totals_key, sizeof(totals_key) - 1)) ||
        (value.size != TOTALS_BYTES && value.size != TOTALS_BYTES_SHORT))
        return;
    struct reader r = reader_of(value);
    uint64_t start = reader_be64(&r);
    p->schedule.start_ms = MIN(start, p->schedule.start_ms); /* never after now */
    uint64_t len = reader_be64(&r);
    p->prefix_len = len < 64 ? (uint32_t)len : UINT32_MAX; /* no length: measured anew */
    p->totals.keys = reader_be64(&r);
    p->totals.sent = reader_be64(&r);
    p->totals.confirmed = reader_be64(&r);
    p->totals.failed = reader_be64(&r);
    p->totals.lookups = reader_be64(&r);
    if (reader_left(&r) == 0)
        return;
    p->cycle_ms = reader_be64(&r);
    p->holders_sum = reader_be64(&r);
    p->holders_keys = reader_be64(&r);
    p->pending_since_ms = reader_be64(&r);
    p->cycle_since_ms = reader_be64(&r);
}

static bool is_ended(const struct provider *p, const struct schedule_progress *at)
{
    uint64_t end;
    const struct schedule_entry *e = schedule_at(&p->schedule, be64_decode(at->last), &end);
    return e && e->done_ms >= at->started_ms;
}

/* Nobody goes on from there. */
static bool is_stale(const struct provider *p, const struct schedule_progress *at, uint64_t now)
{
    return now - MIN(now, at->at_ms) > LIMIT_PROVIDER_RESUME_MS || is_ended(p, at);
}

/* The latest, when there are more: what the last process was at is among them. */
static void take_progress(struct provider *p, struct bytes key, struct bytes value)
{
    struct schedule_progress at;
    uint64_t now = provider_wall_ms(p);
    uint32_t place = 0;
    if (!schedule_progress_decode(key, value, now, &at) || is_stale(p, &at, now))
        return; /* provider_sweep finds it again */
    if (p->resumes_count < PROVIDER_RESUMES) {
        p->resumes[p->resumes_count++].at = at;
        return;
    }
    for (uint32_t i = 1; i < PROVIDER_RESUMES; i++)
        if (p->resumes[i].at.at_ms < p->resumes[place].at.at_ms)
            place = i;
    if (p->resumes[place].at.at_ms < at.at_ms)
        p->resumes[place].at = at;
}

static void take_row(struct provider *p, struct bytes key, struct bytes value)
{
    struct schedule_entry e;
    if (p->rows.kind == 'm')
        take_totals(p, key, value);
    else if (p->rows.kind == 'p')
        take_progress(p, key, value);
    else if (schedule_row_decode(key, value, provider_wall_ms(p), &e))
        schedule_put(&p->schedule, &e);
}

static void on_rows(struct keystore_rows *req, const struct error *err)
{
    struct provider *p = container_of(req, struct provider, rows);
    struct reader r = reader_of(bytes_of(p->rows_buffer, writer_used(&req->out)));
    p->out--;
    if (provider_back(p))
        return;
    if (err) {
        p->failure = *err;
        log_warning("reprovide: %s", err->text);
    }
    while (reader_left(&r) > 0) {
        struct bytes key = reader_take(&r, reader_u8(&r));
        take_row(p, key, reader_take(&r, reader_be16(&r)));
    }
    if (!req->end && !err)
        load_rows(p, req->kind);
    else if (req->kind != 'm') {
        req->after_size = 0;
        load_rows(p, req->kind == 'r' ? 'p' : 'm');
    } else {
        for (uint32_t i = 0; i < p->schedule.count; i++)
            p->schedule.entries[i].dirty = false; /* they have just been read */
        p->loading = false;
        req->after_size = 0; /* for the sweep */
        provider_flush(p);
        timer_set(&p->tick, 1);
    }
}

static void load_rows(struct provider *p, uint8_t kind)
{
    p->rows.kind = kind;
    p->rows.out = writer_of(p->rows_buffer, PROVIDER_ROWS_BYTES);
    p->rows.cb = on_rows;
    p->out++;
    keystore_rows(p->o.keystore, &p->rows);
}

static enum err build_run(struct work *w, struct error *err UNUSED)
{
    kad_preimages_build(container_of(w, struct provider, build)->preimages);
    return ERR_OK;
}

static void build_done(struct work *w, const struct error *err UNUSED)
{
    struct provider *p = container_of(w, struct provider, build);
    p->out--;
    if (!provider_back(p))
        load_rows(p, 'r');
}

void provider_load(struct provider *p)
{
    p->out++;
    work_submit(p->o.work, &p->build, WORK_CPU, build_run, build_done);
}

/* ---- writing ---- */

static void on_flushed(struct keystore_write *req, const struct error *err)
{
    struct provider *p = container_of(req, struct provider, flush);
    p->out--;
    p->flushing = false;
    if (err)
        p->failure = *err; /* the parts will be done again after a restart */
    provider_flush(p);
    (void)provider_back(p);
}

static void flush_row(struct provider *p, uint32_t i, uint8_t kind, struct kad_prefix prefix,
                      const struct schedule_entry *e)
{
    schedule_row_key(kind, prefix, p->flush_keys[i]);
    p->flush_rows[i] =
        (struct keystore_row){ .key = bytes_of(p->flush_keys[i], SCHEDULE_KEY_BYTES) };
    if (!e)
        return;
    schedule_row_value(e, p->flush_values[i]);
    p->flush_rows[i].value = bytes_of(p->flush_values[i], SCHEDULE_VALUE_BYTES);
}

static void flush_totals(struct provider *p, uint32_t i)
{
    struct writer w = writer_of(p->flush_totals, sizeof(p->flush_totals));
    writer_be64(&w, p->schedule.start_ms);
    writer_be64(&w, p->prefix_len);
    writer_be64(&w, p->totals.keys);
    writer_be64(&w, p->totals.sent);
    writer_be64(&w, p->totals.confirmed);
    writer_be64(&w, p->totals.failed);
    writer_be64(&w, p->totals.lookups);
    writer_be64(&w, p->cycle_ms);
    writer_be64(&w, p->holders_sum);
    writer_be64(&w, p->holders_keys);
    writer_be64(&w, p->pending_since_ms);
    writer_be64(&w, p->cycle_since_ms);
    assert(writer_used(&w) == TOTALS_BYTES);
    p->flush_rows[i] = (struct keystore_row){ bytes_of(totals_key, sizeof(totals_key) - 1),
                                              bytes_of(p->flush_totals, TOTALS_BYTES) };
    p->totals_dirty = false;
}

bool provider_resume(void *worker, struct kad_prefix part, struct schedule_progress *out)
{
    const struct provider_worker *w = worker;
    struct provider *p = w->provider;
    uint64_t now = provider_wall_ms(p), end, far = 0;
    const struct schedule_entry *e = schedule_at(&p->schedule, part.bits, &end);
    for (uint32_t i = 0; i < p->resumes_count; i++) {
        const struct schedule_progress *at = &p->resumes[i].at;
        uint64_t kad = be64_decode(at->last);
        if (p->resumes[i].used || now - MIN(now, at->at_ms) > LIMIT_PROVIDER_RESUME_MS)
            continue;
        if (e && e->done_ms >= at->started_ms)
            continue; /* it was ended since */
        if (at->prefix.bits > part.bits || kad < part.bits || kad < far)
            continue; /* what it says is not of the beginning of this part */
        far = kad;
        *out = *at;
        if (at->prefix.bits != part.bits)
            out->keys = 0; /* they are counted with the part in which it began */
    }
    return far > 0;
}

/* Passes that were cut off and have ended since. */
static void resumes_drop(struct provider *p)
{
    for (uint32_t i = 0; i < p->resumes_count; i++)
        p->resumes[i].used |= is_ended(p, &p->resumes[i].at);
}

/* Deletions first: a part that was cut is not deleted after its pieces were written. */
void provider_flush(struct provider *p)
{
    struct schedule *s = &p->schedule;
    uint32_t n = 0, most = LIMIT_KEYSTORE_ROWS - 1;
    if (p->flushing || p->loading)
        return;
    while (n < most && s->gone_count > 0)
        flush_row(p, n++, 'r', s->gone[--s->gone_count], NULL);
    while (n < most && p->swept_count > 0)
        flush_row(p, n++, 'p', p->swept[--p->swept_count], NULL);
    resumes_drop(p);
    for (uint32_t i = 0; i < p->resumes_count && n < most;) {
        if (p->resumes[i].used) {
            flush_row(p, n++, 'p', p->resumes[i].at.prefix, NULL);
            p->resumes[i] = p->resumes[--p->resumes_count];
        } else {
            i++;
        }
    }
    for (uint32_t i = 0; i < s->count && n + 2 <= most; i++) {
        if (!s->entries[i].dirty)
            continue;
        s->entries[i].dirty = false;
        flush_row(p, n++, 'r', s->entries[i].prefix, &s->entries[i]);
        flush_row(p, n++, 'p', s->entries[i].prefix, NULL); /* no pass is under way there */
    }
    if (p->totals_dirty)
        flush_totals(p, n++);
    if (n == 0)
        return;
    p->flush = (struct keystore_write){
        .op = KEYSTORE_ROWS, .rows = p->flush_rows, .rows_count = n, .cb = on_flushed
    };
    p->flushing = true;
    p->out++;
    keystore_write(p->o.keystore, &p->flush);
}

/* ---- sweeping ---- */

/* A pass that is under way has written to its row lately; one that begins just now writes anew. */
static void sweep_row(struct provider *p, struct bytes key, struct bytes value)
{
    struct schedule_progress at;
    struct kad_prefix prefix;
    uint64_t now = provider_wall_ms(p);
    if (!schedule_row_prefix(key, &prefix))
        return; /* none that a pass has written */
    if (!schedule_progress_decode(key, value, now, &at) || is_stale(p, &at, now))
        p->swept[p->swept_count++] = prefix;
}

static void on_swept(struct keystore_rows *req, const struct error *err)
{
    struct provider *p = container_of(req, struct provider, rows);
    struct reader r = reader_of(bytes_of(p->rows_buffer, writer_used(&req->out)));
    bool end = req->end || err;
    p->out--;
    p->sweeping = false;
    if (provider_back(p))
        return;
    while (reader_left(&r) > 0 && !err) {
        struct bytes key = reader_take(&r, reader_u8(&r));
        sweep_row(p, key, reader_take(&r, reader_be16(&r)));
        if (p->swept_count < PROVIDER_RESUMES)
            continue;
        end &= reader_left(&r) == 0; /* the next page begins behind this row */
        memcpy(req->after, key.data, key.size);
        req->after_size = (uint8_t)key.size;
        break;
    }
    if (end) {
        req->after_size = 0;
        p->sweep_ms = provider_now_ms(p) + LIMIT_PROVIDER_RESUME_MS;
    }
    provider_flush(p);
}

/* A part that was not ended leaves its row. The next pass there may be over another prefix, since
 * servers come and go, and deletes only its own. */
void provider_sweep(struct provider *p)
{
    if (p->loading || p->sweeping || p->swept_count > 0 || provider_now_ms(p) < p->sweep_ms)
        return;
    p->rows.kind = 'p';
    p->rows.out = writer_of(p->rows_buffer, PROVIDER_ROWS_BYTES);
    p->rows.cb = on_swept;
    p->sweeping = true;
    p->out++;
    keystore_rows(p->o.keystore, &p->rows);
}
