/* What the Swarm part says of itself, in the status document and so in `larder status`. */
#include "base/hex.h"
#include "codec/json.h"
#include "core/config.h"
#include "node/swarm_state.h"

const char *swarm_cache_name(enum hascache_state state)
{
    switch (state) {
    case HASCACHE_OFF:
        return "off";
    case HASCACHE_BUILDING:
        return "building";
    case HASCACHE_COMPLETE:
        return "complete";
    case HASCACHE_PARTIAL:
        return "partial";
    }
    return "";
}

static void write_bins(const struct reserve_status *st, struct json_writer *w)
{
    json_array_begin(w, "bins");
    for (unsigned bin = 0; bin < RESERVE_BINS; bin++) {
        if (st->last_binid[bin] == 0)
            continue;
        json_object_begin(w, NULL);
        json_put_uint(w, "bin", bin);
        json_put_uint(w, "entries", st->in_bin[bin]);
        json_put_uint(w, "cursor", st->last_binid[bin]);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_reserve(const struct swarm *s, struct json_writer *w)
{
    struct reserve_status st;
    reserve_status(s->reserve, &st);
    json_put_uint(w, "entries", st.count);
    json_put_uint(w, "capacity", s->node->env.config->reserve_capacity);
    json_put_uint(w, "radius", st.radius);
    json_put_uint(w, "bodies", st.slots_used);
    json_put_uint(w, "slab_bytes", st.slab_bytes);
    json_put_text(w, "has_cache_state", swarm_cache_name(st.cache));
    json_put_uint(w, "has_cache_entries", st.cache_entries);
    json_put_uint(w, "has_cache_bytes", st.cache_bytes);
    if (st.cache_entries > 0)
        json_put_decimal(w, "has_cache_bytes_per_entry",
                         (int64_t)(st.cache_bytes * 100 / st.cache_entries), 2);
    json_put_uint(w, "evicted",
                  st.evicted[RESERVE_EVICT_ASKED] + st.evicted[RESERVE_EVICT_CAPACITY] +
                      st.evicted[RESERVE_EVICT_EXPIRED]);
    json_put_uint(w, "damaged", st.damaged);
    write_bins(&st, w);
}

enum readiness swarm_look_reserve(struct status_condition *c, struct error *why)
{
    const struct swarm *s = container_of(c, struct swarm, condition);
    return !s->open || reserve_ready(s->reserve, why) ? READINESS_OK : READINESS_DEGRADED;
}

void swarm_status_write(struct status_section *section, struct json_writer *w)
{
    const struct swarm *s = container_of(section, struct swarm, section);
    char text[2 * OVERLAY_BYTES + 3];
    json_put_text(w, "overlay", hex_encode(text, bytes_of(s->identity.overlay, OVERLAY_BYTES)));
    text[0] = '0';
    text[1] = 'x';
    hex_encode(text + 2, bytes_of(s->identity.ethereum, SIG_ETH_ADDRESS_BYTES));
    json_put_text(w, "ethereum", text);
    json_put_uint(w, "network_id", s->identity.network_id);
    json_put_uint(w, "batches", s->batches ? batches_count(s->batches) : 0);
    if (s->open)
        write_reserve(s, w);
}
