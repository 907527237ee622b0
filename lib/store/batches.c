#include "store/batches.h"

#include "base/hex.h"
#include "codec/json.h"

enum {
    ROWS_FIRST = 64,
    SLOT_EMPTY = 0,       /* slots hold 1 + the index of a row */
    ROW_TEXT_BYTES = 512, /* of JSON: five members and generous white space */
    ROW_SHOWN_BYTES = 6,  /* of an id in a sentence */
};

struct batches {
    struct mem_owner *mem;
    struct batch *rows;
    uint32_t *slots;
    uint32_t count, room, slot_count; /* slot_count: a power of two, at least twice the room */
    uint32_t more_users;              /* than one */
    uint64_t chunks;
};

enum member { ID, OWNER, DEPTH, BUCKET_DEPTH, IMMUTABLE, MEMBERS };
static const char *const member_names[MEMBERS] = { "id", "owner", "depth", "bucket_depth",
                                                   "immutable" };

struct batches_loader {
    struct mem_owner *mem;
    struct json_reader *json;
    struct batches *table;
    uint32_t rows_max, line, seen; /* seen: bit per member of the row at hand */
    enum member member;            /* the one whose value comes next */
    struct batch row;
};

/* ---- the table ---- */

uint32_t batches_count(const struct batches *b)
{
    return b->count;
}

uint64_t batches_chunks(const struct batches *b)
{
    return b->chunks;
}

/* Where this id is, or the empty slot where it belongs. Ids are hashes: their first bytes spread.
 */
static uint32_t *slot_of(const struct batches *b, const uint8_t *id)
{
    uint32_t at = be32_decode(id) & (b->slot_count - 1);
    while (b->slots[at] != SLOT_EMPTY &&
           memcmp(b->rows[b->slots[at] - 1].id, id, STAMP_BATCH_BYTES))
        at = (at + 1) & (b->slot_count - 1);
    return &b->slots[at];
}

const struct batch *batches_find(const struct batches *b, const uint8_t id[STAMP_BATCH_BYTES])
{
    if (b->count == 0)
        return NULL;
    uint32_t slot = *slot_of(b, id);
    return slot == SLOT_EMPTY ? NULL : &b->rows[slot - 1];
}

const struct batch *batches_next_vanished(const struct batches *before, const struct batches *after,
                                          uint32_t *cursor)
{
    while (*cursor < before->count) {
        const struct batch *row = &before->rows[(*cursor)++];
        if (!after || !batches_find(after, row->id))
            return row;
    }
    return NULL;
}

struct batches *batches_use(struct batches *b)
{
    if (b)
        b->more_users++;
    return b;
}

void batches_destroy(struct batches *b)
{
    if (!b || b->more_users-- > 0)
        return;
    mem_free(b->mem, b->rows);
    mem_free(b->mem, b->slots);
    mem_free(b->mem, b);
}

/* Room for twice as many rows; the table is as it was when the owner refuses. */
static bool grow(struct batches *b)
{
    uint32_t room = b->room ? 2 * b->room : ROWS_FIRST;
    uint32_t *slots = mem_try_zalloc(b->mem, 2 * (size_t)room * sizeof(*slots));
    struct batch *rows = slots ? mem_try_realloc(b->mem, b->rows, room * sizeof(*rows)) : NULL;
    if (!rows) {
        mem_free(b->mem, slots);
        return false;
    }
    mem_free(b->mem, b->slots);
    b->rows = rows;
    b->slots = slots;
    b->room = room;
    b->slot_count = 2 * room;
    for (uint32_t i = 0; i < b->count; i++)
        *slot_of(b, rows[i].id) = i + 1;
    return true;
}

/* ---- the file ---- */

static enum err at_row(const struct batches_loader *l, enum err rc, struct error *err)
{
    return error_wrap(err, rc, "batches: line %" PRIu32 ", row %" PRIu32, l->line,
                      l->table->count + 1);
}

static enum err read_hex(struct bytes text, uint8_t *out, size_t size, struct error *err)
{
    size_t decoded = 0;
    if (text.size >= 2 && !memcmp(text.data, "0x", 2))
        text = bytes_of(text.data + 2, text.size - 2);
    enum err rc = hex_decode((const char *)text.data, text.size, out, size, &decoded, err);
    if (!rc && decoded != size)
        rc = error_set(err, ERR_MALFORMED, "%zu bytes of hex instead of %zu", decoded, size);
    return rc;
}

static enum err read_depth(struct bytes text, uint8_t *out, unsigned max, struct error *err)
{
    uint64_t value = 0;
    enum err rc = json_number_uint(text, &value, err);
    if (!rc && value > max)
        rc = error_set(err, ERR_MALFORMED, "%" PRIu64 " is above %u", value, max);
    if (!rc)
        *out = (uint8_t)value;
    return rc;
}

static enum err on_value(struct batches_loader *l, const struct json_event *ev, struct error *err)
{
    static const enum json_kind kinds[MEMBERS] = { JSON_TEXT, JSON_TEXT, JSON_NUMBER, JSON_NUMBER,
                                                   JSON_BOOL };
    enum err rc = ERR_OK;
    if (ev->kind != kinds[l->member])
        return error_set(err, ERR_MALFORMED, "%s is of another type", member_names[l->member]);
    switch (l->member) {
    case ID:
        rc = read_hex(ev->text, l->row.id, sizeof(l->row.id), err);
        break;
    case OWNER:
        rc = read_hex(ev->text, l->row.rules.owner, sizeof(l->row.rules.owner), err);
        break;
    case DEPTH:
        rc = read_depth(ev->text, &l->row.rules.depth, STAMP_DEPTH_MAX, err);
        break;
    case BUCKET_DEPTH:
        rc = read_depth(ev->text, &l->row.rules.bucket_depth, STAMP_BUCKET_DEPTH_MAX, err);
        break;
    case IMMUTABLE:
        l->row.immutable = ev->flag;
        break;
    case MEMBERS:
        assert(!"a value without a key");
    }
    return rc ? (enum err)error_wrap(err, rc, "%s", member_names[l->member]) : ERR_OK;
}

static enum err on_key(struct batches_loader *l, struct bytes name, struct error *err)
{
    for (l->member = ID; l->member < MEMBERS; l->member++) {
        const char *known = member_names[l->member];
        if (!bytes_equal(name, bytes_of(known, strlen(known))))
            continue;
        if (l->seen & 1u << l->member)
            return error_set(err, ERR_MALFORMED, "%s is there twice", known);
        l->seen |= 1u << l->member;
        return ERR_OK;
    }
    return error_set(err, ERR_MALFORMED, "'%.*s' is not a member of a row", (int)MIN(name.size, 40),
                     (const char *)name.data);
}

static enum err row_add(struct batches_loader *l, struct error *err)
{
    struct batches *b = l->table;
    if (b->count == l->rows_max) {
        LIMIT_HIT(BATCHES);
        return error_set(err, ERR_LIMIT, "more than %" PRIu32 " batches", l->rows_max);
    }
    if (b->count == b->room && !grow(b))
        return mem_refused(l->mem, 2 * (uint64_t)b->room * sizeof(l->row), err);
    uint32_t *slot = slot_of(b, l->row.id);
    if (*slot != SLOT_EMPTY) {
        char id[2 * ROW_SHOWN_BYTES + 1];
        return error_set(err, ERR_MALFORMED, "batch %s... is in row %" PRIu32 " already",
                         hex_encode(id, bytes_of(l->row.id, ROW_SHOWN_BYTES)),
                         b->rows[*slot - 1].row);
    }
    l->row.row = b->count + 1;
    b->rows[b->count++] = l->row;
    uint64_t chunks = UINT64_C(1) << MIN((unsigned)l->row.rules.depth, 63u);
    b->chunks = b->chunks > UINT64_MAX - chunks ? UINT64_MAX : b->chunks + chunks;
    *slot = b->count;
    return ERR_OK;
}

static enum err on_row_end(struct batches_loader *l, struct error *err)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        if (!(l->seen & 1u << i))
            return error_set(err, ERR_MALFORMED, "%s is missing", member_names[i]);
    if (l->row.rules.depth < l->row.rules.bucket_depth)
        return error_set(err, ERR_MALFORMED, "depth %u is below bucket_depth %u",
                         l->row.rules.depth, l->row.rules.bucket_depth);
    return row_add(l, err);
}

/* depth 0: the document, 1: a row, 2: its members */
static enum err on_event(void *ctx, const struct json_event *ev, struct error *err)
{
    struct batches_loader *l = ctx;
    enum err rc = ERR_OK;
    if (ev->depth == 0) {
        if (ev->kind != JSON_ARRAY_BEGIN && ev->kind != JSON_ARRAY_END)
            rc = error_set(err, ERR_MALFORMED, "the file is not an array of rows");
    } else if (ev->depth == 1 && ev->kind == JSON_OBJECT_BEGIN) {
        l->seen = 0;
    } else if (ev->depth == 1 && ev->kind == JSON_OBJECT_END) {
        rc = on_row_end(l, err);
    } else if (ev->depth == 1) {
        rc = error_set(err, ERR_MALFORMED, "a row is not an object");
    } else {
        rc = ev->kind == JSON_KEY ? on_key(l, ev->text, err) : on_value(l, ev, err);
    }
    return rc;
}

enum err batches_loader_create(struct batches_loader **out, struct mem_owner *mem,
                               uint32_t rows_max, struct error *err)
{
    assert(rows_max > 0 && rows_max <= LIMIT_BATCHES);
    struct batches_loader *l = mem_zalloc(mem, sizeof(*l));
    l->mem = mem;
    l->rows_max = rows_max;
    l->line = 1;
    l->table = mem_zalloc(mem, sizeof(*l->table));
    l->table->mem = mem;
    const struct json_reader_options options = {
        .cb = on_event, .ctx = l, .bytes_max = (uint64_t)rows_max * ROW_TEXT_BYTES + ROW_TEXT_BYTES
    };
    l->json = json_reader_create(mem, &options);
    if (!l->json) {
        batches_loader_destroy(l);
        return mem_refused(mem, sizeof(*l), err);
    }
    *out = l;
    return ERR_OK;
}

/* Line by line, so that what is wrong has a line. */
enum err batches_loader_feed(struct batches_loader *l, struct bytes piece, struct error *err)
{
    while (piece.size > 0) {
        const uint8_t *end = memchr(piece.data, '\n', piece.size);
        size_t size = end ? (size_t)(end + 1 - piece.data) : piece.size;
        enum err rc = json_reader_feed(l->json, bytes_of(piece.data, size), err);
        if (rc)
            return at_row(l, rc, err);
        l->line += end != NULL;
        piece = bytes_of(piece.data + size, piece.size - size);
    }
    return ERR_OK;
}

enum err batches_loader_finish(struct batches_loader *l, struct batches **out, struct error *err)
{
    enum err rc = json_reader_finish(l->json, err);
    if (rc)
        return at_row(l, rc, err);
    *out = l->table;
    l->table = NULL;
    return ERR_OK;
}

void batches_loader_destroy(struct batches_loader *l)
{
    if (!l)
        return;
    json_reader_destroy(l->json);
    batches_destroy(l->table);
    mem_free(l->mem, l);
}
