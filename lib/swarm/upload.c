#include "swarm/upload_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/units.h"

enum { MANIFEST_SLICE = 24 }; /* chunks that are hashed in one turn of the loop */
#define INDEX_DOCUMENT "index.html"

static const struct error upload_canceled = { ERR_CANCELED, "the upload was canceled" };

static deferred_cb on_turn;
static work_done on_counted, on_listed, on_read, on_split;
static reserve_issued_cb on_issued;

/* ---- life ---- */

static enum err check_key(const struct upload_options *o, struct error *err)
{
    uint8_t address[SIG_ETH_ADDRESS_BYTES];
    char ours[2 * SIG_ETH_ADDRESS_BYTES + 1], theirs[2 * SIG_ETH_ADDRESS_BYTES + 1];
    sig_signer_eth_address(o->signer, address);
    if (!memcmp(address, o->rules.owner, sizeof(address)))
        return ERR_OK;
    return error_set(err, ERR_REFUSED, "the key is that of 0x%s, and the batch belongs to 0x%s",
                     hex_encode(ours, bytes_of(address, sizeof(address))),
                     hex_encode(theirs, bytes_of(o->rules.owner, sizeof(o->rules.owner))));
}

static enum err allocate(struct upload *u, struct error *err)
{
    struct mem_owner *mem = u->options.mem;
    struct issuer_options issuer = {
        .mem = mem,
        .dir = u->options.issuer_dir,
        .depth = u->options.rules.depth,
        .bucket_depth = u->options.rules.bucket_depth,
    };
    memcpy(issuer.batch, u->options.batch, sizeof(issuer.batch));
    u->filling = mem_try_alloc(mem, sizeof(*u->filling));
    u->storing = mem_try_alloc(mem, sizeof(*u->storing));
    if (!u->filling || !u->storing)
        return mem_refused(mem, 2 * sizeof(*u->filling), err);
    u->filling->count = u->storing->count = 0;
    enum err rc = manifest_writer_init(&u->manifest, mem, LIMIT_UPLOAD_TRIE_BYTES, err);
    return rc ? rc : issuer_create(&u->issuer, &issuer, err);
}

static enum err count_run(struct work *w, struct error *err)
{
    struct upload *u = container_of(w, struct upload, prepare);
    enum err rc = upload_tree_count(&u->tree, u->options.path, err);
    return rc ? rc : issuer_load(u->issuer, &u->issued_found, err);
}

static enum err list_run(struct work *w, struct error *err)
{
    struct upload *u = container_of(w, struct upload, prepare);
    return upload_tree_list(&u->tree, u->options.path, err);
}

enum err upload_start(struct upload **out, const struct upload_options *o, struct error *err)
{
    enum err rc = check_key(o, err);
    if (rc)
        return rc;
    struct upload *u = mem_try_zalloc(o->mem, sizeof(*u));
    if (!u)
        return mem_refused(o->mem, sizeof(*u), err);
    u->options = *o;
    u->fd = -1;
    work_lane_init(&u->lane, o->work);
    rc = allocate(u, err);
    if (rc) {
        u->ended = true;
        upload_destroy(u);
        return rc;
    }
    *out = u;
    work_submit(o->work, &u->prepare, WORK_READ, count_run, on_counted);
    return ERR_OK;
}

void upload_cancel(struct upload *u)
{
    u->canceled = true;
}

void upload_destroy(struct upload *u)
{
    if (!u)
        return;
    struct mem_owner *mem = u->options.mem;
    assert(u->ended);
    work_lane_finish(&u->lane);
    if (u->fd >= 0)
        close(u->fd);
    issuer_destroy(u->issuer);
    manifest_writer_free(&u->manifest);
    upload_tree_free(&u->tree, mem);
    mem_free(mem, u->filling);
    mem_free(mem, u->storing);
    mem_free(mem, u);
}

void upload_status(const struct upload *u, struct upload_progress *out)
{
    *out = u->now;
}

/* ---- before the first byte ---- */

static void prepare_list(struct upload *u)
{
    work_submit(u->options.work, &u->prepare, WORK_READ, list_run, on_listed);
}

/* Worker: the counters are its own. */
static void see_issued(void *ctx, uint32_t bucket, uint32_t position)
{
    struct upload *u = ctx;
    if (bucket >> u->options.rules.bucket_depth == 0)
        issuer_seen(u->issuer, bucket, position);
}

/* Counters that got lost are made again from the stamps that are here. */
static void on_counted(struct work *w, const struct error *err)
{
    struct upload *u = container_of(w, struct upload, prepare);
    struct error failed = { ERR_OK, "" };
    if (err || upload_tree_room(&u->tree, u->options.mem, &failed)) {
        upload_turn(u, err ? err : &failed);
    } else if (u->issued_found) {
        prepare_list(u);
    } else {
        u->issued = (struct reserve_issued){
            .batch = u->options.batch, .each = see_issued, .ctx = u, .cb = on_issued
        };
        reserve_issued(u->options.reserve, &u->issued);
    }
}

static void on_issued(struct reserve_issued *req, const struct error *err)
{
    struct upload *u = container_of(req, struct upload, issued);
    if (err)
        upload_turn(u, err);
    else
        prepare_list(u);
}

static void on_listed(struct work *w, const struct error *err)
{
    struct upload *u = container_of(w, struct upload, prepare);
    u->now.bytes_total = u->tree.bytes;
    u->now.files = u->tree.files;
    u->now.left_out = u->tree.left_out;
    u->phase = UPLOAD_FILES;
    swarmtree_split_init(&u->split);
    upload_turn(u, err);
}

/* ---- files into pages ---- */

static enum err open_file(struct upload *u, struct error *err)
{
    char path[LIMIT_PATH_BYTES + LIMIT_MANIFEST_PATH_BYTES + 2];
    const char *name = u->tree.is_file ? "" : u->tree.sorted[u->file];
    int n = snprintf(path, sizeof(path), "%s%s%s", u->options.path, name[0] ? "/" : "", name);
    if (n < 0 || n >= (int)sizeof(path))
        return error_set(err, ERR_IO, "the path of %s is too long", name);
    u->fd = open(path, O_RDONLY | O_CLOEXEC | (name[0] ? O_NOFOLLOW : 0));
    if (u->fd < 0)
        return error_errno(err, ERR_IO, errno, "opening %s", path);
    (void)posix_fadvise(u->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return ERR_OK;
}

/* Worker: input and descriptor are its own. */
static enum err read_run(struct work *w, struct error *err)
{
    struct upload *u = container_of(w, struct upload, fill);
    enum err rc = u->fd < 0 ? open_file(u, err) : ERR_OK;
    if (rc)
        return rc;
    ssize_t n;
    do
        n = read(u->fd, u->input, sizeof(u->input));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, ERR_IO, errno, "reading %s",
                           u->tree.is_file ? u->options.path : u->tree.sorted[u->file]);
    u->in = bytes_of(u->input, (size_t)n);
    u->file_ended = n == 0;
    return ERR_OK;
}

static void on_read(struct work *w, const struct error *err)
{
    struct upload *u = container_of(w, struct upload, fill);
    u->now.bytes += err ? 0 : u->in.size;
    upload_turn(u, err);
}

static void page_add(struct upload_page *p, const struct swarmtree_chunk *chunk)
{
    memcpy(p->address[p->count], chunk->address, CHUNK_ADDRESS_BYTES);
    memcpy(p->data[p->count], chunk->data.data, chunk->data.size);
    p->size[p->count++] = (uint16_t)chunk->data.size;
}

/* Worker: input, splitter and page are its own. Until one of them is used up. */
static enum err split_run(struct work *w, struct error *err UNUSED)
{
    struct upload *u = container_of(w, struct upload, fill);
    struct swarmtree_chunk chunk;
    while (u->filling->count < LIMIT_RESERVE_PAGE_CHUNKS) {
        switch (swarmtree_split_next(&u->split, &u->in, &chunk)) {
        case SWARMTREE_CHUNK:
            page_add(u->filling, &chunk);
            break;
        case SWARMTREE_MORE:
            if (!u->file_ended)
                return ERR_OK;
            swarmtree_split_end(&u->split);
            break;
        case SWARMTREE_DONE:
            memcpy(u->reference, chunk.address, CHUNK_ADDRESS_BYTES);
            u->file_done = true;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static enum err add_to_manifest(struct upload *u, struct error *err)
{
    const char *path = u->tree.sorted[u->file], *name = base_name(path);
    const char *type = upload_content_type(name);
    const struct manifest_pair pairs[] = {
        { "Content-Type", bytes_of(type, strlen(type)) },
        { "Filename", bytes_of(name, strlen(name)) },
    };
    const struct manifest_pair index = { "website-index-document",
                                         bytes_of(INDEX_DOCUMENT, strlen(INDEX_DOCUMENT)) };
    enum err rc = manifest_writer_add(&u->manifest, bytes_of(path, strlen(path)), u->reference,
                                      pairs, ARRAY_SIZE(pairs), err);
    if (!rc && !strcmp(path, INDEX_DOCUMENT))
        rc = manifest_writer_set_root(&u->manifest, &index, 1, err);
    if (rc == ERR_BUDGET)
        rc = error_set(err, ERR_BUDGET,
                       "a directory of %" PRIu32 " files takes more memory than '%s' may have "
                       "(%s at most): more for option memory, or fewer files",
                       u->tree.files, u->options.mem->row.name,
                       units_size_about(u->options.mem->ceiling_bytes).text);
    return rc;
}

static void file_done(struct upload *u, struct error *err)
{
    close(u->fd);
    u->fd = -1;
    u->file_done = u->file_ended = false;
    if (u->tree.is_file) {
        u->phase = UPLOAD_MADE;
        return;
    }
    if (add_to_manifest(u, err))
        return;
    if (++u->file == u->tree.files)
        u->phase = UPLOAD_MANIFEST;
    else
        swarmtree_split_init(&u->split);
}

static void on_split(struct work *w, const struct error *err)
{
    struct upload *u = container_of(w, struct upload, fill);
    struct error failed = { ERR_OK, "" };
    if (!err && u->file_done)
        file_done(u, &failed);
    upload_turn(u, err ? err : failed.code ? &failed : NULL);
}

/* On the loop, whose owner has the trie; a slice of chunks in a turn. */
static void write_manifest(struct upload *u)
{
    struct error failed = { ERR_OK, "" };
    struct swarmtree_chunk chunk;
    bool done = false;
    for (uint32_t i = 0; i < MANIFEST_SLICE && u->filling->count < LIMIT_RESERVE_PAGE_CHUNKS; i++) {
        if (manifest_writer_next(&u->manifest, &chunk, &done, &failed))
            break;
        if (done) {
            memcpy(u->reference, chunk.address, CHUNK_ADDRESS_BYTES);
            u->phase = UPLOAD_MADE;
            break;
        }
        page_add(u->filling, &chunk);
    }
    upload_turn(u, failed.code ? &failed : NULL);
}

/* ---- one turn ---- */

void upload_turn(struct upload *u, const struct error *err)
{
    if (err && !u->failed.code)
        u->failed = *err;
    if (!deferred_pending(&u->turn))
        loop_defer(u->options.loop, &u->turn, on_turn);
}

static void end_if_quiet(struct upload *u)
{
    bool over =
        u->failed.code || u->canceled || (u->phase == UPLOAD_MADE && u->filling->count == 0);
    if (!over || u->ended || u->store_out || work_pending(&u->fill) || work_pending(&u->prepare))
        return;
    u->ended = true;
    const struct error *err = u->failed.code ? &u->failed : u->canceled ? &upload_canceled : NULL;
    u->options.done(u->options.ctx, u->reference, err);
}

static void on_turn(struct deferred *d)
{
    struct upload *u = container_of(d, struct upload, turn);
    if (u->failed.code || u->canceled || work_pending(&u->fill)) {
        end_if_quiet(u);
        return;
    }
    bool full = u->filling->count == LIMIT_RESERVE_PAGE_CHUNKS ||
                (u->phase == UPLOAD_MADE && u->filling->count > 0);
    if (full && !u->store_out) {
        struct upload_page *page = u->filling;
        u->filling = u->storing;
        u->storing = page;
        u->filling->count = 0;
        u->now.chunks += page->count;
        u->options.progress(u->options.ctx, &u->now);
        upload_store(u);
        full = false;
    }
    if (full) /* until the other page is stored */
        return;
    if (u->phase == UPLOAD_MANIFEST)
        write_manifest(u);
    else if (u->phase == UPLOAD_FILES && u->in.size == 0 && !u->file_ended)
        work_submit(u->options.work, &u->fill, WORK_READ, read_run, on_read);
    else if (u->phase == UPLOAD_FILES)
        work_submit(u->options.work, &u->fill, WORK_CPU, split_run, on_split);
    else
        end_if_quiet(u);
}
