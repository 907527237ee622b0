#include "node/swarm_claim.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "codec/curve.h"
#include "core/config.h"
#include "core/log.h"
#include "net/secret_file.h"
#include "node/plan.h"
#include "node/swarm_state.h"

static work_done written;
static reserve_watch_cb on_first;

/* ---- the file ---- */

static void compose(struct swarm_claim *c, const struct swarm_identity *id)
{
    char overlay[2 * OVERLAY_BYTES + 1], nonce[2 * OVERLAY_NONCE_BYTES + 1];
    char ethereum[2 * SIG_ETH_ADDRESS_BYTES + 1];
    int size = snprintf(c->text, sizeof(c->text),
                        "overlay %s\nethereum 0x%s\nnonce %s\nnetwork-id %" PRIu64 "\n",
                        hex_encode(overlay, bytes_of(id->overlay, sizeof(id->overlay))),
                        hex_encode(ethereum, bytes_of(id->ethereum, sizeof(id->ethereum))),
                        hex_encode(nonce, bytes_of(id->nonce, sizeof(id->nonce))), id->network_id);
    assert(size > 0 && (size_t)size < sizeof(c->text));
    c->text_size = (size_t)size;
}

/* Worker: touches the text alone. */
static enum err write_run(struct work *w, struct error *err)
{
    const struct swarm *s = container_of(w, struct swarm, claim.work);
    int dir_fd = s->node->datadir.fd;
    if (s->claim.text_size > 0)
        return secret_file_make(dir_fd, DATADIR_CLAIM, bytes_of(s->claim.text, s->claim.text_size),
                                err);
    unlinkat(dir_fd, DATADIR_CLAIM, 0); /* mostly there is none */
    return ERR_OK;
}

static void written(struct work *w, const struct error *err)
{
    struct swarm *s = container_of(w, struct swarm, claim.work);
    if (err)
        log_warning("check-config will not see what the reserve was filled for: %s", err->text);
    if (err)
        s->claim.told = false;
    if (s->claim.again)
        swarm_claim_look(s);
    if (!s->open && !work_pending(w))
        swarm_claim_ended(s);
}

void swarm_claim_look(struct swarm *s)
{
    struct swarm_claim *c = &s->claim;
    struct reserve_status st;
    reserve_status(s->reserve, &st);
    bool filled = st.count > 0;
    c->again = work_pending(&c->work);
    if (c->again || (c->told && filled == c->filled))
        return;
    c->told = true;
    c->filled = filled;
    c->text_size = 0;
    if (filled)
        compose(c, &s->identity);
    work_submit(s->node->env.work, &c->work, WORK_READ, write_run, written);
    for (uint8_t bin = 0; !filled && s->open && bin < RESERVE_BINS; bin++) {
        c->watches[bin].swarm = s;
        reserve_unwatch(&c->watches[bin].watch);
        reserve_watch(s->reserve, &c->watches[bin].watch, bin, on_first);
    }
}

static void watches_end(struct swarm_claim *c)
{
    for (uint8_t bin = 0; bin < RESERVE_BINS; bin++)
        reserve_unwatch(&c->watches[bin].watch);
}

static void on_first(struct reserve_watch *w)
{
    struct swarm *s = container_of(w, struct claim_watch, watch)->swarm;
    watches_end(&s->claim);
    swarm_claim_look(s);
}

bool swarm_claim_stop(struct swarm *s)
{
    assert(!s->open);
    watches_end(&s->claim);
    swarm_claim_look(s);
    return work_pending(&s->claim.work);
}

/* ---- check-config ---- */

struct claim {
    uint8_t ethereum[SIG_ETH_ADDRESS_BYTES], nonce[OVERLAY_NONCE_BYTES];
    char nonce_text[2 * OVERLAY_NONCE_BYTES + 1];
    uint64_t network_id;
};

/* Whoever took the store away began anew. */
static bool claim_read(int dir_fd, struct claim *out)
{
    struct secret_file file;
    char text[sizeof(file.data) + 1], ethereum[2 * SIG_ETH_ADDRESS_BYTES + 1];
    size_t size;
    if (faccessat(dir_fd, "reserve", F_OK, 0) ||
        secret_file_open(dir_fd, DATADIR_CLAIM, &file, NULL))
        return false;
    memcpy(text, file.data, file.size);
    text[file.size] = '\0';
    return sscanf(text,
                  "overlay %*64[0-9a-f] ethereum 0x%40[0-9a-f] nonce %64[0-9a-f] network-id "
                  "%" SCNu64,
                  ethereum, out->nonce_text, &out->network_id) == 3 &&
           !hex_decode(ethereum, strlen(ethereum), out->ethereum, sizeof(out->ethereum), &size,
                       NULL) &&
           size == sizeof(out->ethereum) && !swarm_nonce_parse(out->nonce, out->nonce_text, NULL);
}

/* Of the row when its value was given, else of the file in the data directory. */
static void say(const struct config *c, uint32_t id, const char *file, const char *what,
                struct option_report *report)
{
    struct error err;
    error_set(&err, ERR_CONFIG,
              "the reserve in data-dir was filled for %s: put that back, or run 'larder reserve "
              "verify --repair', which sorts the chunks anew",
              what);
    if (file && c->given_[id].source == OPTION_DEFAULT)
        option_report_add(report, "%s: %s: %s", c->data_dir, file, err.text);
    else
        plan_value_wrong(c, id, &err, report);
}

/* What cannot be read is said elsewhere; what is not there a start would make anew. */
static bool differs(enum err rc, const uint8_t *ours, const uint8_t *claimed, size_t size)
{
    return rc == ERR_NOT_FOUND || (!rc && memcmp(ours, claimed, size));
}

void swarm_claim_check(const struct config *c, int dir_fd, struct option_report *report)
{
    struct claim claim;
    struct swarm_identity id = { .network_id = 0 };
    uint8_t secret[SIG_SECRET_BYTES] = { 0 }, nonce[OVERLAY_NONCE_BYTES] = { 0 };
    char what[128];
    if (!claim_read(dir_fd, &claim))
        return;
    enum err no_nonce = swarm_nonce_find(c, dir_fd, nonce, NULL);
    enum err no_key = swarm_key_find(c, dir_fd, secret, NULL);
    if (!no_key)
        no_key = swarm_identity_init(&id, secret, nonce, c->network_id, NULL);
    if (c->network_id != claim.network_id) {
        snprintf(what, sizeof(what), "network %" PRIu64, claim.network_id);
        say(c, OPTION_ID_network_id, NULL, what, report);
    }
    if (differs(no_nonce, nonce, claim.nonce, sizeof(nonce))) {
        snprintf(what, sizeof(what), "the nonce %s", claim.nonce_text);
        say(c, OPTION_ID_nonce, DATADIR_SWARM_NONCE, what, report);
    }
    if (differs(no_key, id.ethereum, claim.ethereum, sizeof(id.ethereum))) {
        snprintf(what, sizeof(what), "another key");
        say(c, OPTION_ID_swarm_key, DATADIR_SWARM_KEY, what, report);
    }
    swarm_identity_wipe(&id);
    secret_wipe(secret, sizeof(secret));
}
