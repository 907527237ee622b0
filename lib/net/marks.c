#include "net/marks.h"

#include "base/mem.h"
#include "base/siphash.h"
#include "core/loop.h"

enum { WAYS = 4, SETS = LIMIT_P2P_MARKS / WAYS };

struct marks {
    struct loop *loop;
    struct mem_owner *mem;
    struct siphash_key hash;
    struct mark sets[SETS][WAYS];
};

enum err marks_create(struct marks **out, struct loop *loop, struct mem_owner *mem,
                      struct error *err)
{
    struct marks *m = mem_try_zalloc(mem, sizeof(*m));
    uint8_t key[16];
    if (!m)
        return mem_refused(mem, sizeof(*m), err);
    loop_random(loop, key, sizeof(key));
    m->loop = loop;
    m->mem = mem;
    m->hash = siphash_key_of(key);
    *out = m;
    return ERR_OK;
}

void marks_destroy(struct marks *m)
{
    if (m)
        mem_free(m->mem, m);
}

static struct mark *find(struct marks *m, struct bytes key, bool make)
{
    struct siphash_sum sum = siphash13_128(&m->hash, key);
    struct mark *set = m->sets[sum.second % SETS], *oldest = set;
    uint64_t k = sum.first ? sum.first : 1;
    for (struct mark *mark = set; mark < set + WAYS; mark++) {
        if (mark->key_ == k)
            return mark;
        if (mark->touched_ms < oldest->touched_ms)
            oldest = mark;
    }
    if (!make)
        return NULL;
    if (oldest->key_ != 0)
        LIMIT_HIT(P2P_MARKS);
    *oldest = (struct mark){ .key_ = k };
    return oldest;
}

struct mark *marks_find(struct marks *m, struct bytes key, bool make)
{
    struct mark *mark = find(m, key, make);
    if (mark)
        mark->touched_ms = loop_now_ms(m->loop) + 1; /* a free one has 0 */
    return mark;
}

void marks_forget(struct marks *m, struct bytes key)
{
    struct mark *mark = find(m, key, false);
    if (mark)
        *mark = (struct mark){ 0 };
}
