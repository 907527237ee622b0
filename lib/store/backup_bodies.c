#include "store/backup_bodies.h"

#include <stdlib.h>

enum err backup_bodies_begin(struct backup_bodies *b, const char *slab_dir, struct error *err)
{
    memset(b->after, 0, sizeof(b->after));
    b->after[0] = 'C';
    b->end = false;
    return slab_files_open(&b->files, slab_dir, err);
}

void backup_bodies_close(struct backup_bodies *b)
{
    slab_files_close(&b->files);
}

static int compare_refs(const void *a, const void *b)
{
    const struct slab_ref *x = a, *y = b;
    if (x->slab != y->slab)
        return x->slab < y->slab ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static enum err collect(struct backup_bodies *b, struct ldb *db, const struct ldb_view *view,
                        struct error *err)
{
    struct ldb_iter *it = ldb_iter_open(db, view, false);
    enum err rc = ERR_OK;
    b->count = 0;
    ldb_iter_seek(it, bytes_of(b->after, sizeof(b->after)));
    for (; b->count < BACKUP_BODIES_SLICE && ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        struct reader value = reader_of(ldb_iter_value(it));
        if (key.data[0] != 'C' || key.size != sizeof(b->after))
            break;
        if (!memcmp(key.data, b->after, sizeof(b->after)))
            continue; /* the last one of the slice before */
        memcpy(b->after, key.data, sizeof(b->after));
        b->refs[b->count].slab = reader_be32(&value);
        b->refs[b->count].slot = reader_be32(&value);
        if (value.failed) {
            rc = error_set(err, ERR_CORRUPT, "a chunk record is damaged");
            break;
        }
        b->count++;
    }
    b->end = b->count < BACKUP_BODIES_SLICE;
    if (!rc && !ldb_iter_valid(it))
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

/* A copy that lacks a body would claim to have it. */
static enum err read_slot(struct backup_bodies *b, struct slab_ref ref, struct error *err)
{
    struct slab_record rec;
    struct error why = { ERR_OK, "" };
    enum err rc = slab_files_read(&b->files, ref, b->slot, &rec, &why);
    if (rc == ERR_CORRUPT)
        return error_set(err, rc, "%s: 'larder reserve verify --repair' has to come first",
                         why.text);
    return rc ? error_set(err, rc, "%s", why.text) : ERR_OK;
}

enum err backup_bodies_slice(struct backup_bodies *b, struct ldb *db, const struct ldb_view *view,
                             struct backup_file *out, struct error *err)
{
    enum err rc = collect(b, db, view, err);
    qsort(b->refs, b->count, sizeof(b->refs[0]), compare_refs);
    for (uint32_t i = 0; !rc && i < b->count; i++) {
        uint8_t key[8];
        be32_encode(key, b->refs[i].slab);
        be32_encode(key + 4, b->refs[i].slot);
        rc = read_slot(b, b->refs[i], err);
        rc = rc ? rc
                : backup_file_put(out, bytes_of(key, sizeof(key)),
                                  bytes_of(b->slot, sizeof(b->slot)), err);
    }
    return rc;
}

enum err backup_bodies_put(struct slab_files *files, struct bytes key, struct bytes value,
                           struct error *err)
{
    struct reader r = reader_of(key);
    struct slab_ref ref = { reader_be32(&r), reader_be32(&r) };
    struct slab_record rec;
    if (key.size != 8 || ref.slab >= LIMIT_SLABS || ref.slot >= SLAB_SLOTS_MAX)
        return error_set(err, ERR_CORRUPT, "a body of the backup names no slot");
    enum err rc = slab_slot_decode(value, &rec, err);
    return rc ? rc : slab_files_write(files, ref, &rec, err);
}
