#include "store/validate.h"

#include "store/batches.h"

static enum err check_signer(const struct validate_page *p, const struct validate_item *item,
                             const struct batch *batch, struct error *err)
{
    uint8_t signer[SIG_ETH_ADDRESS_BYTES];
    enum err rc = stamp_recover(signer, &item->stamp, item->address, err);
    if (!rc && !p->accept_all_stamps && memcmp(signer, batch->rules.owner, sizeof(signer)))
        rc = error_set(err, ERR_BAD_PROOF, "the stamp's signer is not the batch owner");
    return rc;
}

static enum err check_item(const struct validate_page *p, struct validate_item *item,
                           struct error *err)
{
    enum err rc = stamp_decode(&item->stamp, item->raw, err);
    if (rc)
        return rc;
    const struct batch *batch = p->batches ? batches_find(p->batches, item->stamp.batch) : NULL;
    if (!batch && !p->accept_all_stamps)
        return error_set(err, ERR_REFUSED, "the stamp's batch is not known");
    if (batch)
        rc = stamp_check_index(&item->stamp, item->address, batch->rules.depth,
                               batch->rules.bucket_depth, err);
    if (!rc)
        rc = chunk_check(&item->kind, item->address, item->data, err);
    if (!rc)
        rc = check_signer(p, item, batch, err);
    if (!rc)
        stamp_hash(item->hash, item->raw.data);
    return rc;
}

void validate_page(struct validate_page *p)
{
    p->refused = 0;
    error_clear(&p->first);
    for (uint32_t i = 0; i < p->count; i++) {
        struct validate_item *item = &p->items[i];
        item->code = check_item(p, item, p->refused == 0 ? &p->first : NULL);
        p->refused += item->code != ERR_OK;
    }
}
