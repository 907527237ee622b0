/* lib/store/reserve_verify.h
 *
 * Is every entry of the reserve sound? Its three index records agree, its body lies where they say
 * and is that chunk, its stamp is valid. Goes on while the reserve is used: each slice is read from
 * a view of its own. Changes nothing.
 * Owns:   a page of entries, about 0.7 MiB of the owner.
 * Thread: loop; done comes once, never inside a call.
 * Errors: ERR_IO, ERR_CANCELED. What is not sound is no error but a fault.
 */
#ifndef LARDER_STORE_RESERVE_VERIFY_H
#define LARDER_STORE_RESERVE_VERIFY_H

#include "store/reserve_prove.h"

struct reserve_verify;
struct verify_report {
    uint64_t checked, total;
    uint64_t by_fault[PROVE_FAULTS];
};
struct reserve_verify_options { /* borrowed pointers outlive the verification */
    struct reserve *reserve;
    struct work_pool *work;
    struct mem_owner *mem;
    struct batches *batches; /* NULL: none are known */
    bool accept_all_stamps;
    void (*fault)(void *ctx, const struct chunk_id *id, const struct error *why);
    void (*progress)(void *ctx, const struct verify_report *now); /* after each page */
    void (*done)(void *ctx, const struct verify_report *report, const struct error *err);
    void *ctx;
};
enum err reserve_verify_start(struct reserve_verify **out, const struct reserve_verify_options *o,
                              struct error *err);
void reserve_verify_cancel(struct reserve_verify *v);  /* done still comes */
void reserve_verify_destroy(struct reserve_verify *v); /* NULL is fine; after done */

#endif
