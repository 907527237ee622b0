#include "store/validate.h"

#include "store/batches.h"

/* Signers of fewer stamps are not worth a place among those that are checked together. */
enum { STAMPS_OF_SIGNER_MIN = 4, FULL_CHUNK_BYTES = BMT_SPAN_BYTES + BMT_PAYLOAD_BYTES_MAX };

/* The page's first is the one that stands first, whatever was checked first. */
static void refuse(struct validate_page *p, struct validate_item *item, const struct error *why)
{
    assert(why->code && !item->code);
    item->code = why->code;
    if (p->refused++ == 0 || item < p->first_)
        p->first = *why;
    p->first_ = p->refused == 1 ? item : MIN(p->first_, item);
}

/* --- what is cheap --------------------------------------------------------------------------- */

static enum err check_stamp(const struct validate_page *p, struct validate_item *item,
                            struct error *err)
{
    enum err rc = stamp_decode(&item->stamp, item->raw, err);
    if (rc)
        return rc;
    item->batch_ = p->batches ? batches_find(p->batches, item->stamp.batch) : NULL;
    if (!item->batch_ && !p->accept_all_stamps)
        return error_set(err, ERR_REFUSED, "the stamp's batch is not known");
    if (!item->batch_)
        return ERR_OK;
    return stamp_check_index(&item->stamp, item->address, item->batch_->rules.depth,
                             item->batch_->rules.bucket_depth, err);
}

static void check_stamps(struct validate_page *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct error err = { ERR_OK, "" };
        p->items[i].code = ERR_OK;
        if (check_stamp(p, &p->items[i], &err))
            refuse(p, &p->items[i], &err);
    }
}

/* --- the chunks ------------------------------------------------------------------------------ */

/* What is no full content chunk of that address may still be another one. */
static void check_side(struct validate_page *p, struct validate_item *const items[], uint32_t count)
{
    const uint8_t *data[BMT_SIDE_MAX];
    uint8_t addresses[BMT_SIDE_MAX * BMT_ADDRESS_BYTES];
    for (uint32_t i = 0; i < count; i++)
        data[i] = items[i]->data.data;
    if (count > 0)
        bmt_addresses(addresses, data, count);
    for (uint32_t i = 0; i < count; i++) {
        struct error err = { ERR_OK, "" };
        items[i]->kind = CHUNK_CONTENT;
        if (memcmp(addresses + i * BMT_ADDRESS_BYTES, items[i]->address, BMT_ADDRESS_BYTES) != 0 &&
            chunk_check(&items[i]->kind, items[i]->address, items[i]->data, &err))
            refuse(p, items[i], &err);
    }
}

static void check_chunks(struct validate_page *p)
{
    struct validate_item *side[BMT_SIDE_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        struct validate_item *item = &p->items[i];
        struct error err = { ERR_OK, "" };
        if (item->code)
            continue;
        if (item->data.size == FULL_CHUNK_BYTES)
            side[n++] = item;
        else if (chunk_check(&item->kind, item->address, item->data, &err))
            refuse(p, item, &err);
        if (n == BMT_SIDE_MAX) {
            check_side(p, side, n);
            n = 0;
        }
    }
    check_side(p, side, n);
}

/* --- the signers ----------------------------------------------------------------------------- */

static void hash_stamps(struct validate_page *p)
{
    struct stamp_hashes side[STAMP_SIDE_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        struct validate_item *item = &p->items[i];
        if (!item->code)
            side[n++] =
                (struct stamp_hashes){ item->raw.data, item->address, item->hash, item->digest_ };
        if (n == STAMP_SIDE_MAX) {
            stamp_hash_side(side, n);
            n = 0;
        }
    }
    stamp_hash_side(side, n);
}

/* key is that of the stamp, when it is the right one. */
static bool check_signer(struct validate_page *p, struct validate_item *item,
                         uint8_t key[SIG_KEY_BYTES])
{
    struct error err = { ERR_OK, "" };
    uint8_t signer[SIG_ETH_ADDRESS_BYTES];
    enum err rc = sig_recover(key, item->digest_, item->stamp.signature, &err);
    if (rc) {
        error_wrap(&err, rc, "stamp");
    } else {
        sig_eth_address(signer, key);
        if (!p->accept_all_stamps && memcmp(signer, item->batch_->rules.owner, sizeof(signer)) != 0)
            error_set(&err, ERR_BAD_PROOF, "the stamp's signer is not the batch owner");
    }
    if (err.code)
        refuse(p, item, &err);
    return !err.code;
}

static bool same_owner(const struct validate_item *a, const struct validate_item *b)
{
    return a->batch_ == b->batch_ ||
           !memcmp(a->batch_->rules.owner, b->batch_->rules.owner, sizeof(a->batch_->rules.owner));
}

/* From the item at `from` on: those that await their check and are of its owner. The first that is
 * good tells the owner's key; those behind it, which join the batch, are settled by the batch. */
static void gather_owner(struct validate_page *p, uint32_t from, struct sig_batch *batch)
{
    const struct validate_item *first = &p->items[from];
    uint8_t key[SIG_KEY_BYTES];
    uint32_t signer = 0, of_owner = 0;
    bool known = false;
    for (uint32_t i = from; i < p->count; i++)
        of_owner += p->items[i].awaits_ && same_owner(&p->items[i], first);
    bool worth = of_owner >= STAMPS_OF_SIGNER_MIN;
    for (uint32_t i = from; i < p->count; i++) {
        struct validate_item *item = &p->items[i];
        if (!item->awaits_ || !same_owner(item, first))
            continue;
        item->awaits_ = false;
        item->joined_ = known && sig_batch_add(batch, &item->sig_, signer, item->digest_,
                                               item->stamp.signature);
        if (!item->joined_ && check_signer(p, item, key) && worth && !known)
            known = sig_batch_signer(batch, key, &signer);
    }
}

static void check_signers(struct validate_page *p)
{
    struct sig_batch batch;
    uint8_t key[SIG_KEY_BYTES];
    uint32_t waiting = 0;
    sig_batch_init(&batch);
    for (uint32_t i = 0; i < p->count; i++) {
        p->items[i].awaits_ = !p->items[i].code;
        p->items[i].joined_ = false;
        waiting += p->items[i].awaits_;
    }
    bool together = p->seed && !p->accept_all_stamps && waiting >= SIG_BATCH_MIN;
    for (uint32_t i = 0; together && i < p->count; i++)
        if (p->items[i].awaits_)
            gather_owner(p, i, &batch);
    bool all_good = sig_batch_count(&batch) >= SIG_BATCH_MIN && sig_batch_check(&batch, p->seed);
    for (uint32_t i = 0; i < p->count; i++)
        if (p->items[i].awaits_ || (p->items[i].joined_ && !all_good))
            check_signer(p, &p->items[i], key);
}

void validate_page(struct validate_page *p)
{
    p->refused = 0;
    p->first_ = NULL;
    error_clear(&p->first);
    check_stamps(p);
    check_chunks(p);
    hash_stamps(p);
    check_signers(p);
}
