/* lib/net/marks.h
 *
 * A count and a time for each of many keys that others choose: failures of an address that was
 * dialed, tokens of a site that calls. The table has a fixed size; where it is full, the mark
 * touched longest ago gives way, so that a flood of keys costs no memory.
 * Owns:   itself. Thread: loop only. Errors: ERR_BUDGET from marks_create.
 */
#ifndef LARDER_NET_MARKS_H
#define LARDER_NET_MARKS_H

#include "base/bytes.h"

struct loop;
struct marks;
struct mem_owner;

struct mark {
    uint64_t key_;       /* 0: free */
    uint64_t touched_ms; /* by marks_find; who makes way */
    uint64_t at_ms;      /* the user's, as is count; both 0 at first */
    uint32_t count;
};

enum err marks_create(struct marks **out, struct loop *loop, struct mem_owner *mem,
                      struct error *err);
void marks_destroy(struct marks *m); /* NULL is fine */

/* NULL: there is none, and it was not to be made. Valid until the next call. */
struct mark *marks_find(struct marks *m, struct bytes key, bool make);
void marks_forget(struct marks *m, struct bytes key);

#endif
