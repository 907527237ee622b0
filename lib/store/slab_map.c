#include "base/mem.h"
#include "store/slab.h"

enum { WORDS = (SLAB_STEP_SLOTS + 63) / 64 };

struct step {
    uint64_t taken[WORDS];
    uint32_t used;
    bool closed; /* found on disk and not derived yet: what is free in it is not known */
};

struct slab {
    struct step *step[SLAB_STEPS_MAX]; /* owned */
    uint32_t steps, used;
};

struct limbo { /* freed while reads were under way */
    struct slab_ref *refs;
    uint32_t count, room;
    uint32_t readers;
};

struct slab_map {
    struct mem_owner *mem; /* borrowed */
    struct slab *slab[LIMIT_SLABS];
    struct limbo limbo[2]; /* by parity of the ticket */
    unsigned now;
    uint64_t used;
    bool deriving;
};

static struct slab *slab_at(struct slab_map *m, uint32_t i)
{
    if (!m->slab[i])
        m->slab[i] = mem_try_zalloc(m->mem, sizeof(*m->slab[i]));
    return m->slab[i];
}

static bool add_step(struct slab_map *m, uint32_t i, bool closed)
{
    struct slab *s = slab_at(m, i);
    if (!s || s->steps >= SLAB_STEPS_MAX)
        return false;
    struct step *step = mem_try_zalloc(m->mem, sizeof(*step));
    if (!step)
        return false;
    step->closed = closed;
    s->step[s->steps++] = step;
    return true;
}

enum err slab_map_create(struct slab_map **out, struct mem_owner *mem,
                         const uint32_t steps[LIMIT_SLABS], struct error *err)
{
    struct slab_map *m = mem_try_zalloc(mem, sizeof(*m));
    if (!m)
        return mem_refused(mem, sizeof(*m), err);
    m->mem = mem;
    m->deriving = true;
    for (uint32_t i = 0; i < LIMIT_SLABS; i++)
        for (uint32_t k = 0; k < steps[i]; k++)
            if (!add_step(m, i, true)) {
                slab_map_destroy(m);
                return mem_refused(mem, sizeof(struct step), err);
            }
    *out = m;
    return ERR_OK;
}

void slab_map_destroy(struct slab_map *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < LIMIT_SLABS; i++) {
        for (uint32_t k = 0; m->slab[i] && k < m->slab[i]->steps; k++)
            mem_free(m->mem, m->slab[i]->step[k]);
        mem_free(m->mem, m->slab[i]);
    }
    mem_free(m->mem, m->limbo[0].refs);
    mem_free(m->mem, m->limbo[1].refs);
    mem_free(m->mem, m);
}

/* The step of a slot, and the slot's number in it; NULL: there is none. */
static struct step *step_of(const struct slab_map *m, struct slab_ref ref, uint32_t *at)
{
    uint32_t k = ref.slot / SLAB_STEP_SLOTS;
    *at = ref.slot % SLAB_STEP_SLOTS;
    if (ref.slab >= LIMIT_SLABS || !m->slab[ref.slab] || k >= m->slab[ref.slab]->steps)
        return NULL;
    return m->slab[ref.slab]->step[k];
}

bool slab_map_mark(struct slab_map *m, struct slab_ref ref)
{
    uint32_t at;
    struct step *step = step_of(m, ref, &at);
    if (!step || step->taken[at / 64] >> at % 64 & 1)
        return false;
    step->taken[at / 64] |= UINT64_C(1) << at % 64;
    step->used++;
    m->slab[ref.slab]->used++;
    m->used++;
    return true;
}

static void clear(struct slab_map *m, struct slab_ref ref)
{
    uint32_t at;
    struct step *step = step_of(m, ref, &at);
    if (!step || !(step->taken[at / 64] >> at % 64 & 1))
        return; /* of a step that was found on disk, and never marked */
    step->taken[at / 64] &= ~(UINT64_C(1) << at % 64);
    step->used--;
    m->slab[ref.slab]->used--;
    m->used--;
}

static void flush(struct slab_map *m, struct limbo *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        clear(m, l->refs[i]);
    l->count = 0;
}

/* The older side is free when its last reader has left; then the sides change, so that new readers
 * do not keep what was freed before them. */
static void settle(struct slab_map *m)
{
    for (int side = 0; side < 2 && !m->deriving; side++) {
        struct limbo *old = &m->limbo[!m->now];
        if (old->readers > 0)
            return;
        flush(m, old);
        if (m->limbo[m->now].count == 0)
            return;
        m->now = !m->now;
    }
}

void slab_map_derived(struct slab_map *m)
{
    m->deriving = false;
    for (uint32_t i = 0; i < LIMIT_SLABS; i++)
        for (uint32_t k = 0; m->slab[i] && k < m->slab[i]->steps; k++)
            m->slab[i]->step[k]->closed = false;
    settle(m);
}

void slab_map_free(struct slab_map *m, struct slab_ref ref)
{
    struct limbo *l = &m->limbo[m->now];
    bool quiet = l->readers == 0 && m->limbo[!m->now].readers == 0;
    if (quiet && !m->deriving) { /* what waited has been settled */
        clear(m, ref);
        return;
    }
    if (l->count == l->room) {
        uint32_t room = l->room ? 2 * l->room : 64;
        struct slab_ref *more = l->refs ? mem_try_realloc(m->mem, l->refs, room * sizeof(*more))
                                        : mem_try_alloc(m->mem, room * sizeof(*more));
        if (!more)
            return; /* it stays taken until slots are derived anew */
        l->refs = more;
        l->room = room;
    }
    l->refs[l->count++] = ref;
    settle(m);
}

void slab_map_untake(struct slab_map *m, struct slab_ref ref)
{
    clear(m, ref);
}

unsigned slab_map_enter(struct slab_map *m)
{
    m->limbo[m->now].readers++;
    return m->now;
}

void slab_map_leave(struct slab_map *m, unsigned ticket)
{
    assert(ticket < 2 && m->limbo[ticket].readers > 0);
    m->limbo[ticket].readers--;
    settle(m);
}

static bool take_in_step(struct slab_map *m, struct slab_ref ref, struct slab_ref *out)
{
    uint32_t at;
    struct step *step = step_of(m, ref, &at);
    if (step->closed || step->used >= SLAB_STEP_SLOTS)
        return false;
    for (uint32_t w = 0; w < WORDS; w++) {
        if (step->taken[w] == UINT64_MAX)
            continue;
        at = w * 64 + (uint32_t)__builtin_ctzll(~step->taken[w]);
        if (at >= SLAB_STEP_SLOTS)
            return false;
        *out = (struct slab_ref){ ref.slab, ref.slot + at };
        return slab_map_mark(m, *out);
    }
    return false;
}

static bool take_in_slab(struct slab_map *m, uint32_t slab, struct slab_ref *out)
{
    for (uint32_t k = 0; k < m->slab[slab]->steps; k++)
        if (take_in_step(m, (struct slab_ref){ slab, k * SLAB_STEP_SLOTS }, out))
            return true;
    return false;
}

/* The fullest slab that may have room below `than` used slots; LIMIT_SLABS: none. */
static uint32_t fullest(const struct slab_map *m, uint32_t than)
{
    uint32_t best = LIMIT_SLABS;
    for (uint32_t i = 0; i < LIMIT_SLABS; i++) {
        const struct slab *s = m->slab[i];
        if (s && s->used < than && s->used < s->steps * (uint32_t)SLAB_STEP_SLOTS &&
            (best == LIMIT_SLABS || s->used > m->slab[best]->used))
            best = i;
    }
    return best;
}

static bool take_in_new_step(struct slab_map *m, struct slab_ref *out)
{
    for (uint32_t i = 0; i < LIMIT_SLABS; i++) {
        if (m->slab[i] && m->slab[i]->steps >= SLAB_STEPS_MAX)
            continue;
        if (!add_step(m, i, false))
            return false;
        uint32_t slot = (m->slab[i]->steps - 1) * SLAB_STEP_SLOTS;
        return take_in_step(m, (struct slab_ref){ i, slot }, out);
    }
    LIMIT_HIT(SLABS);
    return false;
}

bool slab_map_take(struct slab_map *m, struct slab_ref *out)
{
    uint32_t slab = fullest(m, UINT32_MAX);
    while (slab < LIMIT_SLABS) {
        if (take_in_slab(m, slab, out))
            return true;
        slab = fullest(m, m->slab[slab]->used); /* all its room is in closed steps */
    }
    return take_in_new_step(m, out);
}

uint64_t slab_map_used(const struct slab_map *m)
{
    return m->used;
}

uint64_t slab_map_bytes(const struct slab_map *m)
{
    uint64_t steps = 0;
    for (uint32_t i = 0; i < LIMIT_SLABS; i++)
        steps += m->slab[i] ? m->slab[i]->steps : 0;
    return steps * SLAB_STEP_SLOTS * SLAB_SLOT_BYTES;
}

bool slab_map_trim(struct slab_map *m, uint32_t *slab, uint32_t *steps)
{
    for (uint32_t i = 0; i < LIMIT_SLABS && !m->deriving; i++) {
        struct slab *s = m->slab[i];
        if (!s || s->steps < 2 || s->step[s->steps - 1]->used || s->step[s->steps - 2]->used)
            continue;
        while (s->steps >= 2 && !s->step[s->steps - 1]->used && !s->step[s->steps - 2]->used)
            mem_free(m->mem, s->step[--s->steps]);
        *slab = i;
        *steps = s->steps;
        return true;
    }
    return false;
}
