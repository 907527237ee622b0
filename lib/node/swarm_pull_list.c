#include "node/swarm_pull_list.h"

#include "base/hex.h"
#include "codec/json.h"

void swarm_pull_list_begin(struct swarm_pull_list *l, struct json_writer *w)
{
    *l = (struct swarm_pull_list){ .w = w, .left_ = LIMIT_STATUS_PULLED_LINES };
    json_array_begin(w, "peers");
}

static bool line_take(struct swarm_pull_list *l, uint64_t *out)
{
    bool room = l->left_ > 0;
    l->left_ -= room;
    *out += !room;
    return room;
}

static void peer_end(struct swarm_pull_list *l)
{
    if (!l->open_)
        return;
    json_array_end(l->w);
    json_object_end(l->w);
    l->open_ = false;
}

static void peer_begin(struct swarm_pull_list *l, const struct puller_bin_status *b)
{
    char id[PEER_ID_TEXT_MAX], overlay[2 * OVERLAY_BYTES + 1];
    l->peer_ = b->peer;
    if (!line_take(l, &l->peers_out_))
        return;
    l->open_ = true;
    hex_encode(overlay, bytes_of(b->overlay, OVERLAY_BYTES));
    json_object_begin(l->w, NULL);
    json_put_text(l->w, "overlay", overlay);
    json_put_text(l->w, "peer_id", peer_id_to_text(b->peer, id));
    json_put_uint(l->w, "proximity", b->proximity);
    json_array_begin(l->w, "bins");
}

/* Bins that a peer has nothing in take no line: they are parked at their first BinID. */
bool swarm_pull_list_bin(void *list, const struct puller_bin_status *b)
{
    struct swarm_pull_list *l = list;
    if (l->peer_ != b->peer) {
        peer_end(l);
        peer_begin(l, b);
    }
    if (b->cursor == 0 || !line_take(l, &l->bins_out_))
        return true;
    json_object_begin(l->w, NULL);
    json_put_uint(l->w, "bin", b->bin);
    json_put_uint(l->w, "cursor", b->cursor);
    json_put_uint(l->w, "synced_to", b->synced);
    json_put_text(l->w, "phase", b->live ? "live" : "historical");
    if (!b->live) {
        json_put_uint(l->w, "missing", b->missing);
        json_put_uint(l->w, "per_second", b->per_second);
        if (b->eta_s < UINT64_MAX)
            json_put_uint(l->w, "eta_seconds", b->eta_s);
        json_put_text(l->w, "doing", b->doing);
    }
    json_object_end(l->w);
    return true;
}

void swarm_pull_list_end(struct swarm_pull_list *l)
{
    peer_end(l);
    json_array_end(l->w);
    json_put_uint(l->w, "peers_left_out", l->peers_out_);
    json_put_uint(l->w, "bins_left_out", l->bins_out_);
}
