/* A backup of a reserve in use, restored elsewhere: every entry of the copy has its body. */
#include "reserve_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/backup.h"
#include "store/backup_bodies.h"
#include "store/reserve_state.h"
#include "store/restore.h"
#include "store/stores_state.h"

enum { KEPT = 600, CHANGING = 200, PAGE = 200 };

struct fixture {
    struct world w, copy;
    char backup[320];
    struct backup *b;
    struct error err;
    bool done;
    uint64_t slices, bodies;
};
static struct fixture f;

/* Every third one is a single-owner chunk. */
static struct chunk_spec spec_of(uint32_t batch, uint32_t i, uint64_t timestamp)
{
    return (struct chunk_spec){ batch * 10000 + i, batch, i, timestamp,
                                i % 3 == 0 ? (uint32_t)timestamp : 0 };
}

static void put_page(struct world *w, uint32_t batch, uint32_t from, uint64_t timestamp)
{
    static struct world_page page;
    page.count = 0;
    for (uint32_t i = 0; i < PAGE; i++) {
        struct chunk_spec spec = spec_of(batch, from + i, timestamp);
        world_page_add(&page, &spec);
    }
    check(!world_page_put(w, &page), w->err.text);
}

static void on_progress(void *ctx UNUSED, const struct backup_progress *now)
{
    f.slices++;
    if (!strcmp(now->store, BACKUP_BODIES))
        f.bodies = now->records;
}

static void on_done(void *ctx UNUSED, const struct error *err)
{
    f.done = true;
    error_clear(&f.err);
    if (err)
        f.err = *err;
}

static void back_up(struct reserve *reserve)
{
    const struct backup_options o = { .stores = f.w.stores,
                                      .loop = f.w.loop,
                                      .work = f.w.pool,
                                      .mem = mem_plan_find(f.w.plan, "putqueue"),
                                      .dir = f.backup,
                                      .slab_dir = f.w.slabs,
                                      .reserve = reserve,
                                      .progress = on_progress,
                                      .done = on_done };
    f.done = false;
    check(!backup_start(&f.b, &o, &f.err), f.err.text);
}

static void on_restored(void *ctx UNUSED, const char *store UNUSED, uint64_t records,
                        uint64_t bytes)
{
    check(records > KEPT && bytes > records, "counted");
}

static enum err restore(uint64_t wall_ns)
{
    const struct restore_options o = { .backup_dir = f.backup,
                                       .data_dir = f.copy.dir,
                                       .slab_dir = f.copy.slabs,
                                       .rows = &world_row,
                                       .count = 1,
                                       .mem = mem_plan_find(f.copy.plan, "putqueue"),
                                       .wall_ns = wall_ns,
                                       .progress = on_restored };
    return restore_run(&o, &f.err);
}

static void setup(const char *name)
{
    char dir[256];
    memset(&f, 0, sizeof(f));
    snprintf(dir, sizeof(dir), "%s/%s", unit_temp_dir(), name);
    snprintf(f.backup, sizeof(f.backup), "%s-backup", dir);
    world_setup(&f.w, dir);
    snprintf(dir, sizeof(dir), "%s/%s-copy", unit_temp_dir(), name);
    world_setup(&f.copy, dir);
    world_open(&f.w, RESERVE_CACHE_AUTO);
    world_settle(&f.w);
    for (uint32_t i = 0; i < KEPT; i += PAGE)
        put_page(&f.w, 1, i, 7);
    put_page(&f.w, 2, 0, 1);
}

static void teardown(void)
{
    world_end(&f.w);
    world_teardown(&f.copy);
}

/* What is there before and is not touched; what is replaced and evicted all the time. */
TEST(a_reserve_in_use_is_restored_with_every_body)
{
    struct reserve_status before, after;
    uint64_t rounds = 0;
    setup("used");
    back_up(f.w.reserve);
    while (!f.done) {
        rounds++;
        put_page(&f.w, 2, 0, 1 + rounds); /* new slots; the old ones are freed */
        if (rounds % 4 == 0)
            (void)world_evict(&f.w, 2, RESERVE_BINS, UINT64_MAX);
        world_pause(&f.w, 1);
    }
    check(!f.err.code, f.err.text);
    backup_destroy(f.b);
    check(rounds >= 1 && f.slices >= 4 && f.bodies >= KEPT, "in slices, while it was used");
    check(f.w.reserve->readers == 0, "slots are used again");
    reserve_status(f.w.reserve, &before);
    check(!restore(before.epoch + 5), f.err.text);
    f.copy.restored_ns = before.epoch + 5;
    world_open(&f.copy, RESERVE_CACHE_AUTO);
    world_settle(&f.copy);
    uint64_t entries = world_check(&f.copy); /* reads every entry and its body */
    reserve_status(f.copy.reserve, &after);
    check(entries == KEPT || entries == KEPT + CHANGING, "of one moment");
    check(after.slots_used == entries && f.bodies == entries, "one slot each");
    check(after.epoch > before.epoch, "BinIDs of a copy are told apart");
    for (uint32_t i = 0; i < KEPT; i++) {
        struct chunk_spec spec = spec_of(1, i, 7);
        check(!world_get(&f.copy, &spec, spec.content), "the same bytes");
    }
    check(world_put(&f.copy, &(struct chunk_spec){ 77, 3, 1, 1, 0 }) == RESERVE_STORED &&
              world_check(&f.copy) == entries + 1,
          "and it goes on");
    world_close(&f.copy);
    check(restore(1) == ERR_REFUSED, "not over slabs that are there");
    teardown();
}

/* How many bodies that a view names are still where it says. */
static uint64_t bodies_of(const struct ldb_view *view)
{
    static struct slab_record rec;
    static struct backup_bodies bodies;
    static struct reserve_body body;
    struct ldb *db = f.w.stores->stores[0].db;
    uint64_t good = 0;
    check(!slab_files_open(&bodies.files, f.w.slabs, NULL), "slabs");
    struct ldb_iter *it = ldb_iter_open(db, view, false);
    for (ldb_iter_seek(it, bytes_of("C", 1)); ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        if (key.data[0] != 'C')
            break;
        check(c_value_decode(&body, ldb_iter_value(it)), "a record");
        good += !slab_files_read(&bodies.files, body.ref, bodies.slot, &rec, NULL) &&
                !memcmp(rec.address, key.data + 1, 32);
    }
    ldb_iter_close(it);
    slab_files_close(&bodies.files);
    return good;
}

/* While it runs a slot that was freed is not given out: with and without that. */
TEST(slots_are_held_until_a_backup_ends)
{
    struct reserve_status s;
    for (int holds = 1; holds >= 0; holds--) {
        setup(holds ? "held" : "not-held");
        unsigned ticket = holds ? reserve_slots_enter(f.w.reserve) : 0;
        struct ldb_view *view = ldb_view_open(f.w.stores->stores[0].db);
        (void)world_evict(&f.w, 2, RESERVE_BINS, UINT64_MAX);
        put_page(&f.w, 3, 0, 1);
        uint64_t good = bodies_of(view);
        check(holds ? good == KEPT + CHANGING : good < KEPT + CHANGING, "only if they are held");
        ldb_view_close(f.w.stores->stores[0].db, view);
        if (holds)
            reserve_slots_leave(f.w.reserve, ticket);
        reserve_status(f.w.reserve, &s);
        check(s.slots_used == KEPT + CHANGING, "free in the end");
        teardown();
    }
}

static void damage(const char *dir, const char *name, off_t at)
{
    char path[600];
    uint8_t byte = 0;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDWR);
    check(fd >= 0 && pread(fd, &byte, 1, at) == 1, path);
    byte ^= 1;
    check(pwrite(fd, &byte, 1, at) == 1, path);
    close(fd);
}

static void await_backup(void)
{
    while (!f.done)
        world_pause(&f.w, 1);
    backup_destroy(f.b);
}

TEST(damage_is_found_before_anything_is_written)
{
    char path[600];
    setup("damaged");
    damage(f.w.slabs, "reserve.000.slab", 3 * SLAB_SLOT_BYTES + 500);
    back_up(NULL);
    await_backup();
    check(f.err.code == ERR_CORRUPT && strstr(f.err.text, "slot 3"), f.err.text);
    check(strstr(f.err.text, "'larder reserve verify --repair' has to come first"), f.err.text);
    damage(f.w.slabs, "reserve.000.slab", 3 * SLAB_SLOT_BYTES + 500); /* undone */
    snprintf(f.backup, sizeof(f.backup), "%s/again-backup", unit_temp_dir());
    back_up(NULL);
    await_backup();
    check(!f.err.code, f.err.text);
    damage(f.backup, BACKUP_BODIES ".records", 100000);
    check(restore(1) == ERR_CORRUPT, f.err.text);
    snprintf(path, sizeof(path), "%s/reserve", f.copy.dir);
    check(access(path, F_OK) && !slab_dir_is_used(f.copy.slabs), "nothing is left behind");
    damage(f.backup, BACKUP_BODIES ".records", 100000); /* undone */
    check(!restore(1), f.err.text);
    teardown();
}
