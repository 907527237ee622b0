#include "ipfs/cover.h"

void cover_add(struct cover *c, struct kad_prefix p)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if (kad_prefix_holds(c->parts[i], p))
            return;
        if (!kad_prefix_holds(p, c->parts[i]))
            c->parts[kept++] = c->parts[i];
    }
    c->count = kept;
    for (uint32_t i = 0; p.len > 0 && i < c->count; i++) {
        struct kad_prefix sibling = kad_prefix_sibling(p);
        if (c->parts[i].len == p.len && c->parts[i].bits == sibling.bits) {
            c->parts[i] = c->parts[--c->count];
            cover_add(c, kad_prefix_of(p.bits, p.len - 1));
            return;
        }
    }
    if (LIMIT_CHECK(COVER_PARTS, c->count + 1))
        c->parts[c->count++] = p; /* else it is looked up once more */
}

bool cover_gap(const struct cover *c, struct kad_prefix within, uint64_t order,
               struct kad_prefix *out)
{
    bool cut = false;
    for (uint32_t i = 0; i < c->count; i++) {
        if (kad_prefix_holds(c->parts[i], within))
            return false;
        cut |= kad_prefix_holds(within, c->parts[i]);
    }
    if (!cut) {
        *out = within;
        return true;
    }
    bool first = order >> (63 - within.len) & 1;
    return cover_gap(c, kad_prefix_child(within, first), order, out) ||
           cover_gap(c, kad_prefix_child(within, !first), order, out);
}

void cover_reason(struct cover *c, uint64_t target, const uint64_t *nearest, uint32_t count)
{
    if (count < KAD_K) {
        cover_add(c, (struct kad_prefix){ 0, 0 });
        return;
    }
    for (;;) {
        uint64_t far = nearest[count - 1] ^ target, near = nearest[0] ^ target;
        uint8_t common = far ? (uint8_t)__builtin_clzll(far) : 63;
        if (common >= 63)
            return;
        cover_add(c, kad_prefix_of(target, common + 1));
        if (near && __builtin_clzll(near) != common)
            return;
        if (!near)
            return;
        target ^= UINT64_C(1) << (63 - common); /* nobody is on this side: look from the other */
    }
}
