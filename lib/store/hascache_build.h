/* lib/store/hascache_build.h
 *
 * Filling a has-cache from one view of the index while the reserve goes on changing.
 *
 * What changes after the view was taken is applied at once and also logged: the reader of the view
 * may arrive late with an entry that was deleted meanwhile. When the view is read, the log decides
 * once more, and then the cache is complete. Until then "absent" is unknown, and so is "present"
 * for a key whose last logged change is a delete. The log keeps the last change of each key: 16
 * bytes a slot, at most three quarters of them in use.
 *
 * Order:  create before the view is taken, and take the view behind every write that was submitted
 *         before. Removals are told before the delete is submitted, additions after they are
 * durable. Owns:   the log; the cache is borrowed and must outlive the build. Thread: loop only.
 * Errors: a refused log entry is false: the build must be given up and the cache destroyed.
 */
#ifndef LARDER_STORE_HASCACHE_BUILD_H
#define LARDER_STORE_HASCACHE_BUILD_H

#include "store/hascache.h"

struct hascache_build;

enum { HASCACHE_BUILD_SLICE = 4096 }; /* entries of the view per turn of the loop */

enum err hascache_build_create(struct hascache_build **out, struct hascache *h,
                               struct mem_owner *mem, struct error *err);
void hascache_build_destroy(struct hascache_build *b); /* NULL is fine */

/* Up to HASCACHE_BUILD_SLICE entries of the view. */
void hascache_build_read(struct hascache_build *b, const struct hascache_hash *k, uint32_t count);
/* Live changes, instead of hascache_add and hascache_remove. */
bool hascache_build_add(struct hascache_build *b, const struct hascache_hash *k) WARN_UNUSED;
bool hascache_build_remove(struct hascache_build *b, const struct hascache_hash *k) WARN_UNUSED;
/* May the cache's "present" be believed? */
bool hascache_build_trusts(const struct hascache_build *b, const struct hascache_hash *k);
/* The view is read: replays a slice of the log, and says true when nothing is left; the cache is
 * complete then (or partial), and the build can be destroyed. */
bool hascache_build_replay(struct hascache_build *b);
uint64_t hascache_build_logged(const struct hascache_build *b); /* keys in the log */

#endif
