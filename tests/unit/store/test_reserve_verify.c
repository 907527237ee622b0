/* Verification and repair over real chunks: content and single-owner ones, several stamps. */
#include "reserve_world.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/keccak.h"
#include "core/work.h"
#include "store/reserve_keys.h"
#include "store/reserve_rebuild.h"
#include "store/reserve_verify.h"

enum { REAL_MAX = 64 };

struct real {
    uint8_t data[SLAB_DATA_BYTES_MAX], stamp[STAMP_BYTES];
    struct reserve_item item;
};

static struct world w;
static struct sig_signer signer;
static struct verify_report verified;
static struct rebuild_report rebuilt;
static struct real reals[REAL_MAX];
static uint32_t faults;
static char first_fault[LIMIT_ERROR_TEXT_BYTES];

/* number: of the chunk; content: above 0, of a single-owner chunk. */
static struct real *real_make(struct real *r, uint32_t number, uint32_t content, uint8_t batch,
                              uint64_t timestamp)
{
    struct stamp stamp = { .position = number, .timestamp = timestamp };
    uint8_t *cac = r->data + (content ? CHUNK_SOC_HEAD_BYTES : 0), signed_bytes[64], hash[32];
    memset(r, 0, sizeof(*r));
    le64_encode(cac, 4);
    le32_encode(cac + 8, content ? content : number);
    size_t size = 12;
    if (content) {
        struct chunk_soc soc;
        struct chunk_soc_proof proof;
        le32_encode(r->data, number);
        check(!chunk_content_address(signed_bytes + 32, bytes_of(cac, 12), NULL), "wrapped");
        memcpy(signed_bytes, r->data, 32);
        keccak256(hash, bytes_of(signed_bytes, 64));
        sig_eth_sign(&signer, bytes_of(hash, 32), r->data + CHUNK_ID_BYTES);
        size += CHUNK_SOC_HEAD_BYTES;
        check(!chunk_soc_parse(&soc, bytes_of(r->data, size), NULL), "a single-owner chunk");
        check(!chunk_soc_prove(&proof, &soc, NULL), "its proof");
        memcpy(r->item.id.address, proof.address, 32);
    } else {
        check(!chunk_content_address(r->item.id.address, bytes_of(cac, 12), NULL), "address");
    }
    memset(stamp.batch, batch, sizeof(stamp.batch));
    stamp_sign(&stamp, &signer, r->item.id.address);
    stamp_encode(&stamp, r->stamp);
    stamp_hash(r->item.id.stamp_hash, r->stamp);
    memcpy(r->item.id.batch, stamp.batch, 32);
    r->item.data = bytes_of(r->data, size);
    r->item.stamp = r->stamp;
    r->item.kind = content ? CHUNK_SINGLE_OWNER : CHUNK_CONTENT;
    return r;
}

static enum reserve_outcome put_real(struct real *r)
{
    struct world_put p;
    world_put_start(&w, &p, &r->item, 1);
    check(!world_await(&w), w.err.text);
    return r->item.outcome;
}

static struct reserve_get got;

static void on_got(struct reserve_get *req UNUSED, const struct error *err)
{
    world_cb(&w, err);
}

static bool has_real(const struct real *r, bool body)
{
    bool had = world_has_id(&w, &r->item.id);
    got = (struct reserve_get){ .id = r->item.id, .cb = on_got };
    w.waits = 1;
    reserve_get(w.reserve, &got);
    enum err rc = world_await(&w);
    check(had == (rc == ERR_OK), "the cache knows");
    return rc == ERR_OK && !memcmp(got.stamp, r->stamp, STAMP_BYTES) &&
           (!body || bytes_equal(got.data, r->item.data));
}

static void on_fault(void *ctx UNUSED, const struct chunk_id *id UNUSED, const struct error *why)
{
    if (faults++ == 0)
        snprintf(first_fault, sizeof(first_fault), "%s", why->text);
}

static void on_progress(void *ctx UNUSED, const struct verify_report *now)
{
    check(now->checked <= now->total, "not more than there are");
}

static void on_rebuild_progress(void *ctx UNUSED, const struct rebuild_report *now)
{
    check(now->slots <= now->slots_total, "not more than there are");
}

static void on_verified(void *ctx, const struct verify_report *report, const struct error *err)
{
    verified = *report;
    world_cb(ctx, err);
}

static void on_rebuilt(void *ctx, const struct rebuild_report *report, const struct error *err)
{
    rebuilt = *report;
    world_cb(ctx, err);
}

static enum err verify(bool cancel)
{
    struct reserve_verify *v = NULL;
    struct error err = { ERR_OK, "" };
    const struct reserve_verify_options o = { .reserve = w.reserve,
                                              .work = w.pool,
                                              .mem = mem_plan_find(w.plan, "putqueue"),
                                              .accept_all_stamps = true,
                                              .fault = on_fault,
                                              .progress = on_progress,
                                              .done = on_verified,
                                              .ctx = &w };
    faults = 0;
    check(!reserve_verify_start(&v, &o, &err), err.text);
    if (cancel)
        reserve_verify_cancel(v);
    w.waits = 1;
    enum err rc = world_await(&w);
    reserve_verify_destroy(v);
    return rc;
}

static enum err rebuild(bool cancel)
{
    struct reserve_rebuild *b = NULL;
    struct error err = { ERR_OK, "" };
    const struct reserve_rebuild_options o = { .reserve = w.reserve,
                                               .work = w.pool,
                                               .mem = mem_plan_find(w.plan, "putqueue"),
                                               .accept_all_stamps = true,
                                               .progress = on_rebuild_progress,
                                               .done = on_rebuilt,
                                               .ctx = &w };
    check(!reserve_rebuild_start(&b, &o, &err), err.text);
    if (cancel)
        reserve_rebuild_cancel(b);
    w.waits = 1;
    enum err rc = world_await(&w);
    reserve_rebuild_destroy(b);
    return rc;
}

static uint64_t entries(void)
{
    struct reserve_status st;
    reserve_status(w.reserve, &st);
    return st.count;
}

static void begin(const char *name)
{
    uint8_t secret[SIG_SECRET_BYTES];
    memset(secret, 0x11, sizeof(secret));
    check(!sig_signer_init(&signer, secret, secret, NULL), "a signer");
    world_begin(&w, name, RESERVE_CACHE_ON);
}

static void end(void)
{
    world_end(&w);
    sig_signer_wipe(&signer);
}

static void reopen(bool repair)
{
    w.repair = repair;
    world_again(&w);
}

TEST(a_repair_finds_what_the_index_knew)
{
    begin("whole");
    for (uint32_t i = 0; i < 20; i++)
        check(put_real(real_make(&reals[i], i + 1, 0, 1, 1)) == RESERVE_STORED, "content");
    for (uint32_t i = 20; i < 30; i++) /* the same ten again, with another batch's stamp */
        check(put_real(real_make(&reals[i], i - 19, 0, 2, 1)) == RESERVE_STORED, "second stamps");
    for (uint32_t i = 30; i < 40; i++)
        check(put_real(real_make(&reals[i], i, 1, 1, 1)) == RESERVE_STORED, "single-owner");
    for (uint32_t i = 40; i < 45; i++) { /* new content under a newer stamp of the same index */
        check(put_real(real_make(&reals[i], i - 10, 2, 1, 2)) == RESERVE_STORED, "changed");
        check(!has_real(&reals[i - 10], false), "the old one is replaced");
    }
    for (uint32_t i = 45; i < 50; i++) /* and new content under another batch's stamp */
        check(put_real(real_make(&reals[i], i - 10, 3, 2, 3)) == RESERVE_STORED, "both stamps");
    check(entries() == 45, "20 + 10 + 10 + 5");
    check(!verify(false) && verified.checked == 45 && faults == 0, first_fault);
    check(verified.by_fault[PROVE_SOUND] == 45, "all sound");

    reopen(true);
    check(entries() == 0, "the index is gone");
    check(rebuild(true) == ERR_CANCELED, "and a repair can be canceled");
    reopen(true);
    check(!rebuild(false), w.err.text);
    reopen(false);
    check(entries() == 45 && world_check(&w) == 45, "as many as before");
    check(!verify(false) && verified.by_fault[PROVE_SOUND] == 45, first_fault);
    for (uint32_t i = 0; i < 50; i++) {
        bool replaced = i >= 30 && i < 35, old_body = i >= 35 && i < 40;
        check(has_real(&reals[i], !old_body) == !replaced, "the newest of each");
    }
    end();
}

TEST(a_stamp_that_is_gone_is_found)
{
    begin("stamps");
    check(put_real(real_make(&reals[0], 1, 0, 1, 1)) == RESERVE_STORED, "content");
    check(put_real(real_make(&reals[20], 1, 0, 2, 1)) == RESERVE_STORED, "its second stamp");
    check(!verify(false) && faults == 0, first_fault);
    const struct chunk_id *id = &reals[20].item.id;
    struct reserve_key key = key_stamp(id->address, id->stamp_hash);
    world_edit(&w, key_bytes(&key), bytes_of(NULL, 0));
    check(!verify(false) && verified.by_fault[PROVE_DAMAGED] == 1,
          "the one in the slot is another");
    check(strstr(first_fault, "its stamp is not there"), first_fault);
    end();
}

TEST(a_repair_that_did_not_end_is_not_forgotten)
{
    begin("half");
    check(put_real(real_make(&reals[0], 1, 0, 1, 1)) == RESERVE_STORED, "a chunk");
    reopen(true);
    world_close(&w);
    w.repair = false;
    check(world_try_open(&w, RESERVE_CACHE_ON, 0) == ERR_CORRUPT, "half repaired");
    w.repair = true;
    world_open(&w, RESERVE_CACHE_ON);
    check(!rebuild(false) && rebuilt.entries == 1, "to its end");
    reopen(false);
    check(has_real(&reals[0], true), "there");
    end();
}

TEST(what_is_damaged_is_found_and_left_out)
{
    begin("damaged");
    for (uint32_t i = 0; i < 10; i++)
        check(put_real(real_make(&reals[i], i + 1, 0, 1, 1)) == RESERVE_STORED, "content");
    check(verify(true) == ERR_CANCELED, "canceled");
    world_slot_flip(&w, (struct slab_ref){ 0, 3 }, 180);
    check(!verify(false) && verified.by_fault[PROVE_DAMAGED] == 1 && faults == 1, "one");
    check(strstr(first_fault, "is damaged"), first_fault);
    real_make(&reals[10], 11, 0, 1, 1);
    reals[10].stamp[STAMP_BYTES - 1] ^= 0x20; /* no signature any more */
    stamp_hash(reals[10].item.id.stamp_hash, reals[10].stamp);
    check(put_real(&reals[10]) == RESERVE_STORED, "the reserve takes what it is given");
    check(!verify(false) && verified.by_fault[PROVE_INVALID] == 1 && faults == 2, "and this one");
    reopen(true);
    check(!rebuild(false), w.err.text);
    check(rebuilt.entries == 9 && rebuilt.by_fault[PROVE_DAMAGED] == 1 &&
              rebuilt.by_fault[PROVE_INVALID] == 1,
          "both are left out");
    reopen(false);
    check(!verify(false) && verified.by_fault[PROVE_SOUND] == 9 && faults == 0, first_fault);
    end();
}
