#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "store/issuer.h"

static struct mem_plan *plan;

static struct issuer_options options_make(uint8_t batch, uint8_t depth, uint8_t bucket_depth)
{
    static const struct mem_row row = { "stamps", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    static char dir[300];
    struct issuer_options o = { .dir = dir, .depth = depth, .bucket_depth = bucket_depth };
    struct error err = { ERR_OK, "" };
    snprintf(dir, sizeof(dir), "%s/stamps", unit_temp_dir());
    memset(o.batch, batch, sizeof(o.batch));
    check(!mem_plan_create(&plan, 64 * MiB, &row, 1, &err), err.text);
    o.mem = mem_plan_find(plan, "stamps");
    return o;
}

static struct issuer *issuer_of(const struct issuer_options *o, bool want_found)
{
    struct issuer *is = NULL;
    struct error err = { ERR_OK, "" };
    bool found = !want_found;
    check(!issuer_create(&is, o, &err), err.text);
    check(!issuer_load(is, &found, &err), err.text);
    check(found == want_found, "the file");
    return is;
}

static uint32_t take(struct issuer *is, uint16_t bucket)
{
    uint8_t address[STAMP_ADDRESS_BYTES] = { (uint8_t)(bucket >> 8), (uint8_t)bucket };
    struct stamp stamp;
    struct error err = { ERR_OK, "" };
    check(!issuer_take(is, address, &stamp, &err), err.text);
    check(stamp.bucket == bucket, "the bucket of the address");
    return stamp.position;
}

TEST(positions_go_on_where_they_were_saved)
{
    struct issuer_options o = options_make(1, 20, 16);
    struct issuer *is = issuer_of(&o, false);
    struct error err = { ERR_OK, "" };
    check(take(is, 7) == 0 && take(is, 7) == 1 && take(is, 9) == 0, "each bucket counts");
    check(!issuer_save(is, &err), err.text);
    check(take(is, 7) == 2 && take(is, 0xffff) == 0, "on");
    check(!issuer_save(is, &err), err.text);
    check(take(is, 7) == 3, "this one is not saved");
    issuer_destroy(is);
    is = issuer_of(&o, true);
    check(take(is, 7) == 3 && take(is, 9) == 1 && take(is, 0xffff) == 1, "from the file");
    for (uint32_t bucket = 0; bucket < 2 * LIMIT_RESERVE_PAGE_CHUNKS; bucket++)
        (void)take(is, (uint16_t)(1000 + bucket)); /* more than are remembered one by one */
    check(!issuer_save(is, &err), err.text);
    issuer_destroy(is);
    is = issuer_of(&o, true);
    check(take(is, 1000) == 1 && take(is, 1000 + 2 * LIMIT_RESERVE_PAGE_CHUNKS - 1) == 1, "all");
    issuer_destroy(is);
    mem_plan_destroy(plan);
}

TEST(a_full_bucket_gives_nothing)
{
    struct issuer_options o = options_make(2, 18, 16);
    struct issuer *is = issuer_of(&o, false);
    uint8_t address[STAMP_ADDRESS_BYTES] = { 0, 3 };
    struct stamp stamp;
    struct error err = { ERR_OK, "" };
    for (uint32_t i = 0; i < 4; i++)
        check(take(is, 3) == i, "four positions");
    check(issuer_take(is, address, &stamp, &err) == ERR_LIMIT, "2^(18-16) are out");
    check(strstr(err.text, "bucket 3 of the batch is full (4 stamps)"), err.text);
    issuer_seen(is, 4, 2);
    check(take(is, 4) == 3, "behind what was seen");
    issuer_seen(is, 4, 0);
    issuer_seen(is, 4, UINT32_MAX);
    check(issuer_take(is, address, &stamp, NULL) == ERR_LIMIT, "still");
    address[1] = 4;
    check(issuer_take(is, address, &stamp, NULL) == ERR_LIMIT, "four as well");
    issuer_destroy(is);
    mem_plan_destroy(plan);
}

TEST(counters_of_something_else_are_refused)
{
    struct issuer_options o = options_make(3, 20, 16), other = o;
    struct issuer *is = issuer_of(&o, false);
    struct error err = { ERR_OK, "" };
    char from[512], to[512], id[65];
    bool found = false;
    (void)take(is, 1);
    check(!issuer_save(is, &err), err.text);
    issuer_destroy(is);
    memset(other.batch, 4, sizeof(other.batch));
    snprintf(from, sizeof(from), "%s/%s.stamps", o.dir, hex_encode(id, bytes_of(o.batch, 32)));
    snprintf(to, sizeof(to), "%s/%s.stamps", o.dir, hex_encode(id, bytes_of(other.batch, 32)));
    check(link(from, to) == 0, "another batch's name");
    check(!issuer_create(&is, &other, &err), err.text);
    check(issuer_load(is, &found, &err) == ERR_CORRUPT, "the file says whose it is");
    issuer_destroy(is);
    check(truncate(from, 1000) == 0, "cut");
    check(!issuer_create(&is, &o, &err), err.text);
    check(issuer_load(is, &found, &err) == ERR_CORRUPT, "too short");
    issuer_destroy(is);
    o.bucket_depth = LIMIT_ISSUER_BUCKET_DEPTH + 1;
    o.depth = 40;
    check(issuer_create(&is, &o, &err) == ERR_LIMIT, "too many buckets");
    o.bucket_depth = LIMIT_ISSUER_BUCKET_DEPTH;
    mem_fault_at(1);
    check(issuer_create(&is, &o, &err) == ERR_BUDGET, "no memory");
    mem_fault_at(0);
    mem_plan_destroy(plan);
}
