#include "swarm/download.h"

#include "base/hex.h"
#include "base/mem.h"
#include "codec/manifest.h"
#include "core/loop.h"
#include "core/work.h"
#include "store/reserve.h"
#include "swarm/download_file.h"

enum {
    GETS = 16, /* chunks asked for at once */
    BUFFER_BYTES = 256 * 1024,
    CHUNKS_A_TURN = 16, /* each is hashed on the loop: 10 to 20 us */
};

struct download_get {
    struct reserve_get req;
    struct download *download;
    bool out, held; /* held: the chunk is in it */
};

struct download_buffer {
    size_t used;
    uint8_t data[BUFFER_BYTES];
};

struct download {
    struct download_options options;
    struct download_progress now;
    bool canceled, ended;
    struct error failed;
    struct deferred turn;

    struct swarmtree_join join; /* of the file at hand */
    bool joining, probing;      /* probing: whether it is a directory is not known yet */
    struct manifest_reader reader;
    bool directory;

    struct download_get gets[GETS];
    uint32_t gets_out;

    struct download_files files;
    struct download_buffer buffers[2], *filling, *writing;
    struct work_lane lane;
    struct work write;
    bool last;  /* the buffer that is written ends its file */
    bool whole; /* all of the file is in filling or written */
};

static const struct error download_canceled = { ERR_CANCELED, "the download was canceled" };

static deferred_cb on_turn;
static reserve_get_cb on_get;
static work_done on_written;

static void turn(struct download *d, const struct error *err)
{
    if (err && !d->failed.code)
        d->failed = *err;
    if (!deferred_pending(&d->turn))
        loop_defer(d->options.loop, &d->turn, on_turn);
}

enum err download_start(struct download **out, const struct download_options *o, struct error *err)
{
    struct download *d = mem_try_zalloc(o->mem, sizeof(*d));
    if (!d)
        return mem_refused(o->mem, sizeof(*d), err);
    d->options = *o;
    d->filling = &d->buffers[0];
    d->writing = &d->buffers[1];
    d->probing = !o->raw;
    d->joining = true;
    work_lane_init(&d->lane, o->work);
    swarmtree_join_init(&d->join, o->reference);
    if (download_files_init(&d->files, o->path, err)) {
        d->ended = true;
        download_destroy(d);
        return ERR_USAGE;
    }
    *out = d;
    turn(d, NULL);
    return ERR_OK;
}

void download_cancel(struct download *d)
{
    d->canceled = true;
    turn(d, NULL);
}

void download_destroy(struct download *d)
{
    if (!d)
        return;
    assert(d->ended);
    download_files_close(&d->files);
    work_lane_finish(&d->lane);
    manifest_reader_free(&d->reader);
    mem_free(d->options.mem, d);
}

void download_status(const struct download *d, struct download_progress *out)
{
    *out = d->now;
}

/* ---- chunks ---- */

static struct download_get *find_get(struct download *d, const uint8_t *address)
{
    for (uint32_t i = 0; i < GETS; i++)
        if ((d->gets[i].out || d->gets[i].held) &&
            !memcmp(d->gets[i].req.id.address, address, CHUNK_ADDRESS_BYTES))
            return &d->gets[i];
    return NULL;
}

/* It will be there. False: all places are taken. */
static bool ask(struct download *d, const uint8_t *address)
{
    struct download_get *g = NULL;
    if (find_get(d, address))
        return true;
    for (uint32_t i = 0; i < GETS && !g; i++)
        if (!d->gets[i].out && !d->gets[i].held)
            g = &d->gets[i];
    if (!g)
        return false;
    memcpy(g->req.id.address, address, CHUNK_ADDRESS_BYTES);
    g->req.any_stamp = true;
    g->req.cb = on_get;
    g->download = d;
    g->out = true;
    d->gets_out++;
    reserve_get(d->options.reserve, &g->req);
    return true;
}

static void on_get(struct reserve_get *req, const struct error *err)
{
    struct download_get *g = container_of(req, struct download_get, req);
    struct download *d = g->download;
    struct error failed = { ERR_OK, "" };
    char address[2 * CHUNK_ADDRESS_BYTES + 1];
    g->out = false;
    g->held = !err;
    d->gets_out--;
    if (err) {
        failed = *err;
        hex_encode(address, bytes_of(req->id.address, CHUNK_ADDRESS_BYTES));
        if (err->code == ERR_NOT_FOUND)
            error_set(&failed, ERR_NOT_FOUND, "chunk %s is not in the reserve", address);
        else
            error_wrap(&failed, err->code, "chunk %s", address);
    }
    turn(d, failed.code ? &failed : NULL);
}

/* The chunk that comes next and, within one chunk of references, those behind it. */
static struct download_get *want(struct download *d, const uint8_t *wanted)
{
    if (!ask(d,
             wanted)) { /* all were for a place that was left, such as a directory's first node */
        for (uint32_t i = 0; i < GETS; i++)
            d->gets[i].held = false;
        if (!ask(d, wanted))
            return NULL; /* one that is out makes room */
    }
    struct download_get *g = find_get(d, wanted);
    const uint8_t *next;
    for (uint32_t i = 0; d->joining && (next = swarmtree_join_ahead(&d->join, i)); i++)
        if (!ask(d, next))
            break;
    return g->held ? g : NULL;
}

/* ---- files ---- */

/* Worker: files and the buffer that is written are its own. */
static enum err write_run(struct work *w, struct error *err)
{
    struct download *d = container_of(w, struct download, write);
    enum err rc = ERR_OK;
    if (d->writing->used > 0)
        rc = download_files_write(&d->files, bytes_of(d->writing->data, d->writing->used), err);
    return rc || !d->last ? rc : download_files_end(&d->files, err);
}

static void start_write(struct download *d)
{
    struct download_buffer *b = d->filling;
    d->filling = d->writing;
    d->writing = b;
    d->filling->used = 0;
    d->last = d->whole;
    work_submit_write(&d->lane, &d->write, write_run, on_written);
}

static void on_written(struct work *w, const struct error *err)
{
    struct download *d = container_of(w, struct download, write);
    d->now.bytes += err ? 0 : d->writing->used;
    if (!err && d->last) {
        d->now.files++;
        d->joining = d->whole = false;
    }
    d->options.progress(d->options.ctx, &d->now);
    turn(d, err);
}

static void begin_directory(struct download *d)
{
    manifest_reader_init(&d->reader, d->options.mem, d->options.reference, LIMIT_MANIFEST_NODES);
    d->directory = d->files.folder = true;
    d->joining = false;
    d->now.bytes_total = 0;
}

static void begin_file(struct download *d, const struct manifest_entry *found)
{
    memcpy(d->files.name, found->path.data, found->path.size);
    d->files.name[found->path.size] = '\0';
    swarmtree_join_init(&d->join, found->reference);
    d->joining = true;
}

/* ---- a chunk that is there ---- */

static enum err take_of_file(struct download *d, struct bytes data, struct error *err)
{
    struct bytes out;
    enum err rc = swarmtree_join_put(&d->join, data, &out, err);
    if (rc)
        return rc;
    if (!d->directory)
        d->now.bytes_total = d->join.bytes;
    if (d->probing && out.size >= MANIFEST_START_BYTES && manifest_is_node(out)) {
        d->probing = false;
        begin_directory(d);
        return ERR_OK;
    }
    d->probing = d->probing && out.size == 0 && swarmtree_join_wanted(&d->join);
    if (out.size > 0)
        memcpy(d->filling->data + d->filling->used, out.data, out.size);
    d->filling->used += out.size;
    d->whole = swarmtree_join_wanted(&d->join) == NULL;
    return ERR_OK;
}

static enum err take_of_directory(struct download *d, struct bytes data, struct error *err)
{
    struct manifest_entry found = { .path = { NULL, 0 } };
    enum err rc = manifest_reader_put(&d->reader, data, &found, err);
    if (!rc && found.path.size > 0)
        begin_file(d, &found);
    return rc;
}

/* One chunk further; false: something must come first. */
static bool advance(struct download *d, struct error *err)
{
    if (d->whole) {
        if (!work_pending(&d->write))
            start_write(d);
        return false;
    }
    if (d->joining && BUFFER_BYTES - d->filling->used < BMT_PAYLOAD_BYTES_MAX) {
        if (work_pending(&d->write))
            return false;
        start_write(d);
    }
    const uint8_t *wanted = d->joining     ? swarmtree_join_wanted(&d->join)
                            : d->directory ? manifest_reader_wanted(&d->reader)
                                           : NULL;
    struct download_get *g = wanted ? want(d, wanted) : NULL;
    if (!g)
        return false;
    d->now.chunks++;
    g->held = false;
    enum err rc =
        d->joining ? take_of_file(d, g->req.data, err) : take_of_directory(d, g->req.data, err);
    return rc == ERR_OK;
}

static bool is_complete(const struct download *d)
{
    return !d->joining && !d->whole && (!d->directory || !manifest_reader_wanted(&d->reader));
}

static void on_turn(struct deferred *deferred)
{
    struct download *d = container_of(deferred, struct download, turn);
    struct error err = { ERR_OK, "" };
    uint32_t taken = 0;
    bool over = d->failed.code || d->canceled;
    while (!over && !is_complete(d) && taken < CHUNKS_A_TURN && advance(d, &err))
        taken++;
    if (err.code || taken == CHUNKS_A_TURN)
        turn(d, err.code ? &err : NULL);
    over = d->failed.code || d->canceled || is_complete(d);
    if (!over || d->ended || d->gets_out > 0 || work_pending(&d->write))
        return;
    d->ended = true;
    loop_defer_cancel(&d->turn);
    d->options.done(d->options.ctx, d->failed.code ? &d->failed
                                    : d->canceled  ? &download_canceled
                                                   : NULL);
}
