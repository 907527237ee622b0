/* lib/store/validate.h
 *
 * Is this chunk with this stamp acceptable? Cheap checks first (sizes, batch known, bucket and
 * position), then the chunk's address, and last the recovery of the stamp's signer, which costs
 * most. Ownership: everything is borrowed. Thread: any; one page is one job of a CPU worker (60 us
 * a chunk, a third of that for many stamps of one signer), which keeps the table of batches alive
 * until it is done.
 */
#ifndef LARDER_STORE_VALIDATE_H
#define LARDER_STORE_VALIDATE_H

#include "codec/chunk.h"
#include "codec/sig_batch.h"
#include "codec/stamp.h"

struct batch;
struct batches;

struct validate_item {
    const uint8_t *address; /* in:  CHUNK_ADDRESS_BYTES */
    struct bytes data, raw; /* in:  the chunk, its stamp; as they came */
    enum err code;          /* out: ERR_OK: acceptable; ERR_REFUSED: its batch is not known */
    enum chunk_kind kind;   /* out, when acceptable */
    struct stamp stamp;     /* out, when acceptable */
    uint8_t hash[STAMP_HASH_BYTES]; /* out, when acceptable: the stamp's */
    const struct batch *batch_;     /* NULL: not known */
    bool awaits_, joined_;          /* its signer is not checked yet; is checked with others */
    uint8_t digest_[SIG_DIGEST_BYTES];
    struct sig_batch_item sig_;
};

struct validate_page {
    const struct batches *batches; /* in:  NULL: none are known */
    /* in: for closed networks: any batch and any signer will do, but the signature must be one, and
     * bucket and position must be right where the batch is known. */
    bool accept_all_stamps;
    /* in: fresh random bytes, drawn after all was received; the stamps of one signer are then
     * checked together (codec/sig_batch.h). NULL: each alone. */
    const uint8_t *seed;         /* SIG_SEED_BYTES */
    struct validate_item *items; /* in */
    uint32_t count;              /* in */
    uint32_t refused;            /* out: how many */
    struct error first;          /* out: why the first of them was */
    const struct validate_item *first_;
};
void validate_page(struct validate_page *p);

#endif
