/* What is damaged on disk costs the chunk it belongs to, and nothing that comes with it. */
#include "reserve_world.h"

#include <stdio.h>
#include <string.h>

#include "store/reserve_state.h"
#include "store/stores_state.h"

enum { GROUP = 10, SOUND_FROM = 50 };

static struct world w;

static void put(const struct chunk_spec *spec)
{
    check(world_put(&w, spec) == RESERVE_STORED, "stored");
}

/* The chunks given, and sound ones beside them, in one group; the outcomes are in items. */
static struct world_page page;
static const struct reserve_item *const items = page.items;
static enum err put_group(const struct chunk_spec *specs, uint32_t count)
{
    page.count = 0;
    for (uint32_t i = 0; i < GROUP; i++) {
        struct chunk_spec sound = { SOUND_FROM + i, 5, i, 1, 0 };
        world_page_add(&page, i < count ? &specs[i] : &sound);
    }
    return world_page_put(&w, &page);
}

/* Its one slot. */
static struct slab_ref slot_of(const struct chunk_spec *spec)
{
    static struct chunk c;
    static struct reserve_body body;
    static uint8_t raw[C_VALUE_BYTES_MAX];
    struct writer value = writer_of(raw, sizeof(raw));
    chunk_make(&c, spec);
    struct reserve_key key = key_chunk(c.address);
    check(!ldb_get(w.stores->stores[0].db, NULL, key_bytes(&key), &value, NULL) &&
              c_value_decode(&body, bytes_of(raw, writer_used(&value))),
          "a record");
    return body.ref;
}

static const struct chunk_spec first = { 1, 1, 1, 5, 11 }, second = { 1, 2, 1, 6, 12 };

/* A single-owner chunk with two stamps; that of the second lies in the slot, which is damaged. */
static const struct {
    const char *why;
    struct chunk_spec comes;
    bool first, second; /* is it left? */
} cases[] = {
    { "a third stamp: the second is lost", { 1, 3, 1, 7, 13 }, true, false },
    { "a newer stamp for the index of the second", { 1, 2, 1, 7, 13 }, true, false },
    { "one for the index of the first", { 1, 1, 1, 7, 13 }, false, false },
};

TEST(a_damaged_body_gives_way_to_what_comes)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct chunk_spec *c = &cases[i].comes;
        char name[32];
        snprintf(name, sizeof(name), "body-%zu", i);
        world_start(&w, name);
        put(&first);
        put(&second);
        world_slot_flip(&w, slot_of(&first), 500);
        check(world_get(&w, &first, 12) == ERR_CORRUPT, "nobody has it any more");
        check(!put_group(c, 1), w.err.text);
        for (uint32_t k = 0; k < GROUP; k++)
            check(items[k].outcome == RESERVE_STORED && !items[k].code, cases[i].why);
        uint64_t left = GROUP + cases[i].first + cases[i].second;
        for (int opened = 0; opened < 2; opened++) {
            check(world_has(&w, &first) == cases[i].first, cases[i].why);
            check(world_has(&w, &second) == cases[i].second, cases[i].why);
            check(!world_get(&w, c, 13) && world_check(&w) == left, "each with its stamp");
            check(world_slots(&w) == GROUP, "the damaged slot is free");
            world_again(&w);
        }
        if (c->batch != second.batch) { /* what was lost may come again */
            put(&second);
            left++;
        }
        check(world_check(&w) == left && world_slots(&w) == GROUP, "as any other");
        world_end(&w);
    }
}

/* What a stamp in a slot that cannot be read was of, is told by its own records alone. */
TEST(a_damaged_body_of_one_stamp_is_replaced)
{
    static const struct chunk_spec more = { 1, 3, 1, 7, 13 };
    world_start(&w, "one-stamp");
    put(&first);
    world_slot_flip(&w, slot_of(&first), 500);
    check(!put_group(&more, 1) && items[0].outcome == RESERVE_STORED, w.err.text);
    check(!world_has(&w, &first) && world_check(&w) == GROUP && world_slots(&w) == GROUP, "one");
    world_end(&w);
}

/* While nothing runs. */
static void write_record(struct reserve_key key, struct bytes value)
{
    struct error err = { ERR_OK, "" };
    struct ldb *db = NULL;
    struct ldb_batch *batch = ldb_batch_create(4 * KiB);
    check(!store_open_row(&db, w.dir, &world_row, 8 * MiB, &err), err.text);
    check(!ldb_batch_put(batch, key_bytes(&key), value, &err) && !ldb_write(db, batch, true, &err),
          err.text);
    ldb_batch_destroy(batch);
    ldb_close(db);
}

static struct reserve_key chunk_key(const struct chunk_spec *spec)
{
    static struct chunk c;
    chunk_make(&c, spec);
    return key_chunk(c.address);
}

static struct reserve_key index_key(const struct chunk_spec *spec)
{
    static struct chunk c;
    chunk_make(&c, spec);
    return key_index(c.batch, c.stamp + STAMP_BATCH_BYTES);
}

/* Of chunks 1, 2 and 3 at the indexes 1, 2 and 3: the record of the first and of the index of the
 * third are damaged; what needs them fails, each time, and nothing else. */
TEST(a_damaged_record_fails_its_own_chunk_alone)
{
    static const uint8_t garbage[200] = { 1, 2, 3 };
    static const struct chunk_spec comes[] = {
        { 1, 2, 9, 6, 0 }, /* a further stamp of the first */
        { 8, 1, 1, 6, 0 }, /* at its index */
        { 9, 1, 3, 6, 0 }, /* at that of the third */
    };
    world_start(&w, "record");
    for (uint32_t i = 1; i <= 3; i++)
        put(&(struct chunk_spec){ i, 1, i, 5, 0 });
    world_close(&w);
    struct chunk_spec one = { 1, 1, 1, 5, 0 }, three = { 3, 1, 3, 5, 0 };
    write_record(chunk_key(&one), bytes_of(garbage, 100));
    write_record(index_key(&three), bytes_of(garbage, sizeof(garbage)));
    world_open(&w, RESERVE_CACHE_AUTO);
    world_pause(&w, 5);
    for (int round = 0; round < 3; round++) {
        check(put_group(comes, 3) == ERR_CORRUPT && strstr(w.err.text, "damaged"), w.err.text);
        for (uint32_t i = 0; i < GROUP; i++) {
            enum reserve_outcome sound = round ? RESERVE_PRESENT : RESERVE_STORED;
            check(items[i].outcome == (i < 3 ? RESERVE_FAILED : sound), "each its own");
            check(items[i].code == (i < 3 ? ERR_CORRUPT : ERR_OK), "and why");
        }
        for (uint32_t i = 3; i < GROUP; i++)
            check(!world_get(&w, &(struct chunk_spec){ SOUND_FROM + i, 5, i, 1, 0 }, 0), "there");
        struct reserve_status s;
        reserve_status(w.reserve, &s);
        check(s.count == 3 + GROUP - 3, "counted once");
    }
    world_end(&w);
}
