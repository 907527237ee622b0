/* lib/store/keystore_stage.h
 *
 * Another set of keys, built beside the one in use, which then takes its place by one record, and
 * without a key of it being written again. Generations alternate between two kinds of rows, so
 * there are two at most. What is not current is swept in steps behind everything else: the former
 * generation, and a stage that was given up, in this process or in one that was killed.
 *
 * While a stage is open, keys that are added, removed or provided are so in both generations. A
 * key that the current generation has keeps its mark, or that it has none.
 * Owns:   nothing beyond the keystore. Thread: loop only. Errors: none here; those of its writes.
 */
#ifndef LARDER_STORE_KEYSTORE_STAGE_H
#define LARDER_STORE_KEYSTORE_STAGE_H

#include "store/keystore.h"

struct keystore_stage;
typedef void keystore_stage_cb(struct keystore_stage *req);
struct keystore_stage {
    keystore_stage_cb *cb; /* in: it is open; write with KEYSTORE_STAGE, then KEYSTORE_SWITCH */
    struct keystore *keystore_;
    struct list link_;
};
/* Waits for the stages before it, and until nothing is left of what they replaced. */
void keystore_stage(struct keystore *ks, struct keystore_stage *req);
/* No write of it may be out. Waiting, it waits no more; open and not switched, it is dropped. */
void keystore_stage_end(struct keystore_stage *req);

struct keystore_status {
    uint64_t generation; /* how many switches there were */
    uint64_t staged;     /* keys of the open stage */
    uint64_t left;       /* keys that are not current and still to be swept */
    bool staging, compacting;
};
void keystore_status(const struct keystore *ks, struct keystore_status *out);

#endif
