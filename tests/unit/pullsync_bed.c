#include "pullsync_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/prng.h"
#include "codec/sig.h"

static struct sig_signer signer;
static const uint8_t overlay[OVERLAY_BYTES] = { 0x80 };

static void held(void *ctx, struct process_memory *out)
{
    *out = (struct process_memory){ .anon_bytes = ((struct bed *)ctx)->held_bytes };
}

void bed_hold(struct bed *b, enum governor_level level)
{
    const uint64_t quarter = b->plan->slack_bytes / 4;
    b->held_bytes = level == GOVERNOR_NORMAL   ? 0
                    : level == GOVERNOR_TARGET ? b->plan->setting_bytes - 2 * quarter
                                               : b->plan->setting_bytes - quarter;
    for (int i = 0; i < LIMIT_GOVERNOR_CALM_LOOKS && governor_level(b->governor) != level; i++)
        governor_look(b->governor);
    check(governor_level(b->governor) == level, "the governor sees it");
}

static void batches_make(struct bed *b)
{
    uint8_t secret[SIG_SECRET_BYTES], owner[SIG_ETH_ADDRESS_BYTES];
    char id[65], owner_hex[41], text[512];
    struct error err = { ERR_OK, "" };
    struct batches_loader *l;
    memset(secret, 0x11, sizeof(secret));
    memset(b->batch_id, 0xb1, sizeof(b->batch_id));
    check(!sig_signer_init(&signer, secret, secret, &err), err.text);
    sig_signer_eth_address(&signer, owner);
    for (int i = 0; i < 32; i++)
        snprintf(id + 2 * i, 3, "%02x", b->batch_id[i]);
    for (int i = 0; i < 20; i++)
        snprintf(owner_hex + 2 * i, 3, "%02x", owner[i]);
    int size = snprintf(text, sizeof(text),
                        "[{\"id\":\"%s\",\"owner\":\"%s\",\"depth\":32,\"bucket_depth\":16,"
                        "\"immutable\":false}]",
                        id, owner_hex);
    check(!batches_loader_create(&l, b->mem, 10, &err), err.text);
    check(!batches_loader_feed(l, bytes_of(text, (size_t)size), &err), err.text);
    check(!batches_loader_finish(l, &b->batches, &err), err.text);
    batches_loader_destroy(l);
}

void bed_make(struct bed *b, uint32_t worlds, uint64_t memory_bytes)
{
    static const struct mem_row rows[] = {
        { "pullsync", "waits", MEM_ELASTIC, 4 * MiB, 8, 16, true },
        { "p2p", "refused", MEM_ELASTIC, 8 * MiB, 8, 16, true },
    };
    static uint32_t made;
    char path[600], dir[260];
    snprintf(dir, sizeof(dir), "%.200s/%u", unit_temp_dir(), made++);
    mkdir(dir, 0700);
    memset(b, 0, sizeof(*b));
    check(!mem_plan_create(&b->plan, memory_bytes, rows, 2, NULL), "plan");
    b->mem = mem_plan_find(b->plan, "pullsync");
    b->streams = mem_plan_find(b->plan, "p2p");
    batches_make(b);
    for (uint32_t i = 0; i < worlds; i++) {
        struct world *w = &b->w[i];
        snprintf(path, sizeof(path), "%s/%u", dir, i);
        if (i == 0) {
            world_setup(w, path);
        } else {
            *w = b->w[0];
            w->stores = NULL;
            w->reserve = NULL;
            snprintf(w->dir, sizeof(w->dir), "%.260s/%u", dir, i);
            snprintf(w->slabs, sizeof(w->slabs), "%.260s/%u/slabs", dir, i);
            snprintf(w->image, sizeof(w->image), "%.260s/%u/image", dir, i);
            mkdir(w->dir, 0700);
        }
        world_open(w, RESERVE_CACHE_ON);
        world_settle(w);
    }
    b->loop = b->w[0].loop;
    struct governor_options o = { .plan = b->plan, .process_memory = held, .ctx = b };
    loop_clock_set(b->loop, 1000000, UINT64_C(1700000000000000000));
    check(!governor_create(&b->governor, b->loop, &o, NULL), "governor");
}

static void on_closed(void *ctx, const struct error *err)
{
    check(!err, err ? err->text : "");
    *(bool *)ctx = true;
}

static void wait_for(struct bed *b, bool *done)
{
    for (int i = 0; i < 1000 && !*done; i++)
        bed_turn(b, 10);
    check(*done, "it closes");
}

static void one_end(struct bed *b, struct world *w)
{
    bool closed = false, shut = false;
    reserve_close(w->reserve, on_closed, &closed);
    wait_for(b, &closed);
    reserve_destroy(w->reserve);
    stores_close(w->stores, on_closed, &shut);
    wait_for(b, &shut);
    stores_destroy(w->stores);
}

void bed_end(struct bed *b)
{
    bed_turn(b, 1000);
    for (uint32_t i = BED_WORLDS; i-- > 0;)
        if (b->w[i].reserve)
            one_end(b, &b->w[i]);
    batches_destroy(b->batches);
    governor_destroy(b->governor);
    loop_clock_turn(b->loop, 1);
    check(b->mem->used_bytes == 0, "all memory is given back");
    mem_plan_destroy(b->plan);
    world_teardown(&b->w[0]);
}

void bed_turn(struct bed *b, uint64_t ms)
{
    loop_clock_turn(b->loop, ms);
}

void bed_chunk(struct bed *b, struct bed_chunk *c, uint8_t bin, uint32_t n)
{
    memset(c, 0, sizeof(*c));
    uint32_t payload = b->payload ? b->payload : BED_PAYLOAD;
    c->size = BMT_SPAN_BYTES + payload;
    c->data[0] = (uint8_t)payload;
    c->data[1] = (uint8_t)(payload >> 8);
    for (uint32_t try = 0;; try++) {
        struct prng p = prng_of((uint64_t)bin << 56 | (uint64_t)n << 24 | try);
        prng_fill(&p, c->data + BMT_SPAN_BYTES, payload);
        check(!chunk_content_address(c->id.address, bytes_of(c->data, c->size), NULL), "address");
        if (overlay_proximity(overlay, c->id.address) == bin)
            break;
    }
    struct stamp s = { .bucket = stamp_bucket(c->id.address, 16),
                       .position = n & 0xffff,
                       .timestamp = n };
    memcpy(s.batch, b->batch_id, 32);
    stamp_sign(&s, &signer, c->id.address);
    stamp_encode(&s, c->stamp);
    memcpy(c->id.batch, b->batch_id, 32);
    stamp_hash(c->id.stamp_hash, c->stamp);
    c->item = (struct reserve_item){
        .id = c->id, .data = bytes_of(c->data, c->size), .stamp = c->stamp, .kind = CHUNK_CONTENT
    };
}

static void on_put(struct reserve_put *req UNUSED, const struct error *err)
{
    check(!err, err ? err->text : "");
}

void bed_put(struct bed *b, uint32_t world, uint8_t bin, uint32_t from, uint32_t count)
{
    static struct bed_chunk chunks[64];
    static struct reserve_item items[64];
    for (uint32_t done = 0; done < count;) {
        uint32_t n = MIN(count - done, (uint32_t)ARRAY_SIZE(chunks));
        for (uint32_t i = 0; i < n; i++) {
            bed_chunk(b, &chunks[i], bin, from + done + i);
            items[i] = chunks[i].item;
        }
        struct reserve_put put = { .items = items, .count = n, .cb = on_put };
        reserve_put(b->w[world].reserve, &put);
        bed_turn(b, LIMIT_RESERVE_GROUP_MS);
        for (uint32_t i = 0; i < n; i++)
            check(items[i].outcome == RESERVE_STORED, "it is stored");
        done += n;
    }
}

uint64_t bed_count(struct bed *b, uint32_t world)
{
    struct reserve_status s;
    reserve_status(b->w[world].reserve, &s);
    return s.count;
}

struct bed_has {
    struct reserve_has has;
    bool done;
};
static void on_has(struct reserve_has *req, const struct error *err)
{
    check(!err, "asked");
    container_of(req, struct bed_has, has)->done = true;
}

bool bed_contains(struct bed *b, uint32_t world, uint32_t of)
{
    static struct reserve_entry entries[200];
    static struct bed_has h;
    uint8_t have[1];
    for (uint8_t bin = 0; bin < RESERVE_BINS; bin++) {
        uint64_t from = 0;
        for (uint32_t n = ARRAY_SIZE(entries); n == ARRAY_SIZE(entries);) {
            n = world_list(&b->w[of], bin, from, entries, ARRAY_SIZE(entries));
            for (uint32_t i = 0; i < n; i++) {
                from = entries[i].binid + 1;
                h = (struct bed_has){
                    { .ids = &entries[i].id, .count = 1, .have = have, .cb = on_has }, false
                };
                reserve_has(b->w[world].reserve, &h.has);
                while (!h.done)
                    bed_turn(b, 0);
                if (!(have[0] & 1))
                    return false;
            }
        }
    }
    return true;
}

static const struct store_row state_row = { .name = "state",
                                            .version = 1,
                                            .memory_floor_bytes = 2 * MiB,
                                            .block_bytes = 4 * KiB,
                                            .table_bytes = 2 * MiB,
                                            .sync = STORE_SYNC_ASKED,
                                            .enabled = true };

void bed_state_open(struct bed *b, uint32_t world)
{
    struct error err = { ERR_OK, "" };
    bool opened = false;
    snprintf(b->state_dir, sizeof(b->state_dir), "%.300s/s", b->w[world].dir);
    mkdir(b->state_dir, 0700);
    const struct stores_options so = { .data_dir = b->state_dir,
                                       .loop = b->loop,
                                       .work = b->w[world].pool,
                                       .mem = mem_plan_find(b->w[0].plan, "stores"),
                                       .memory_bytes = 8 * MiB,
                                       .rows = &state_row,
                                       .count = 1 };
    check(!stores_create(&b->stores, &so, &err), err.text);
    stores_open(b->stores, on_closed, &opened);
    wait_for(b, &opened);
    check(!statestore_create(&b->state, stores_find(b->stores, "state"), b->mem, &err), err.text);
}

void bed_state_close(struct bed *b)
{
    bool closed = false;
    statestore_destroy(b->state);
    stores_close(b->stores, on_closed, &closed);
    wait_for(b, &closed);
    stores_destroy(b->stores);
}
