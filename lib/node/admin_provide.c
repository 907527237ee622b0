#include "node/admin_provide.h"

#include "base/mem.h"
#include "codec/keytext.h"
#include "core/env.h"
#include "ipfs/provide.h"
#include "ipfs/provider.h"
#include "node/admin.h"
#include "node/node.h"
#include "node/reprovide.h"
#include "store/keystore.h"

enum { PROVIDERS_MAX = 64 };

struct command {
    struct admin_session *session;
    struct provider *provider;
    struct mem_owner *mem;
    uint32_t at, poor; /* keys that no server took */
    struct keyset keys;
    struct keystore_has has;
    uint8_t have, pending;
    union {
        struct provide provide;
        struct lookup lookup;
    } u;
    uint32_t found;
    uint64_t seen[PROVIDERS_MAX];
};

static void finish(struct command *c, int exit_code, const struct error *err)
{
    struct admin_session *s = c->session;
    struct error failure = { ERR_OK, "" };
    if (err)
        failure = *err;
    s->on_gone = NULL;
    keyset_free(&c->keys);
    mem_free(c->mem, c);
    if (failure.code)
        admin_fail(s, &failure);
    else
        admin_end(s, exit_code);
}

/* NULL: the session has been told why. */
static struct command *begin(struct admin_session *s, bool needs_dht)
{
    struct error err = { ERR_OK, "" };
    struct provider_status st = { .state = PROVIDER_OFFLINE };
    struct provider *p = node_provider(s->node);
    struct command *c = NULL;
    if (!p)
        error_set(&err, ERR_CONFIG, "there is no provider: reprovide is off");
    else
        provider_status(p, &st);
    if (p && needs_dht && st.state != PROVIDER_ONLINE)
        error_set(&err, ERR_UNREACHABLE, "the DHT is not reached: %s%s%s",
                  st.loading ? "loading" : provider_state_name(st.state), st.failure[0] ? ": " : "",
                  st.failure);
    if (!err.code) {
        struct mem_owner *mem = node_owner(s->node, "reprovide");
        c = mem_try_zalloc(mem, sizeof(*c));
        if (!c)
            mem_refused(mem, sizeof(*c), &err);
        else
            *c = (struct command){ .session = s, .provider = p, .mem = mem };
        s->state = c;
    }
    if (err.code)
        admin_fail(s, &err);
    return c;
}

static enum err key_of(const char *text, uint8_t out[LIMIT_KEYSTORE_HASH_BYTES], uint8_t *size,
                       struct error *err)
{
    uint8_t buf[CID_BYTES_MAX];
    struct bytes hash;
    enum err rc = key_from_text(text, strlen(text), buf, &hash, err);
    if (rc)
        return error_wrap(err, rc, "%.80s", text);
    memcpy(out, hash.data, hash.size);
    *size = (uint8_t)hash.size;
    return ERR_OK;
}

/* ---- provide KEY... ---- */

static void provide_next(struct command *c);

static void provide_gone(struct admin_session *s)
{
    struct command *c = s->state;
    provide_cancel(&c->u.provide);
}

static void on_provided(struct provide *p, const struct error *err)
{
    struct command *c = container_of(p, struct command, u.provide);
    struct admin_session *s = c->session;
    char id[PEER_ID_TEXT_MAX];
    if (err && err->code == ERR_CANCELED) {
        finish(c, 3, err);
        return;
    }
    provider_count(c->provider, p->sent, p->confirmed);
    (void)admin_print(s, "%s: sent to %u of %u servers, confirmed by %u\n", s->argv[c->at], p->sent,
                      p->servers, p->confirmed);
    for (uint32_t i = 0; i < p->servers; i++)
        (void)admin_print(s, "  %s %s\n", peer_id_to_text(&p->holders[i].id, id),
                          p->holders[i].confirmed ? "holds it"
                          : p->holders[i].sent    ? "took it"
                                                  : "failed");
    c->poor += p->confirmed == 0;
    c->at++;
    provide_next(c);
}

static void provide_next(struct command *c)
{
    struct error err;
    struct provide *p = &c->u.provide;
    if (c->at == c->session->argc) {
        finish(c, c->poor > 0, NULL);
        return;
    }
    p->record = provider_record(c->provider);
    p->cb = on_provided;
    if (!p->record)
        error_set(&err, ERR_CONFIG, "we have no address that peers are told (p2p-announce)");
    if (!p->record || key_of(c->session->argv[c->at], p->key, &p->key_size, &err)) {
        finish(c, 0, &err);
        return;
    }
    provide_start(provider_dht(c->provider), p);
}

/* ---- provide status [KEY] ---- */

static void on_has(struct keystore_has *req, const struct error *err)
{
    struct command *c = container_of(req, struct command, has);
    struct admin_session *s = c->session;
    uint64_t wall = loop_wall_ns(node_env(s->node)->loop) / 1000000;
    uint64_t last = provider_last_ms(c->provider, keyset_kad(&c->keys, 0));
    if (err) {
        finish(c, 0, err);
        return;
    }
    if (!c->have)
        (void)admin_print(s, "not in the keystore\n");
    else if (c->pending)
        (void)admin_print(s, "not provided yet\n");
    else if (last == 0)
        (void)admin_print(s, "provided, but its part of the key space is due again\n");
    else
        (void)admin_print(s, "provided %" PRIu64 " s ago\n", (wall - MIN(wall, last)) / 1000);
    finish(c, !c->have, NULL);
}

static void status_key(struct command *c)
{
    struct error err;
    uint8_t hash[LIMIT_KEYSTORE_HASH_BYTES], size = 0;
    if (key_of(c->session->argv[1], hash, &size, &err)) {
        finish(c, 0, &err);
        return;
    }
    if (!keyset_init(&c->keys, c->mem, 2) || !keyset_add(&c->keys, bytes_of(hash, size))) {
        mem_refused(c->mem, keyset_bytes(2), &err);
        finish(c, 0, &err);
        return;
    }
    c->has = (struct keystore_has){
        .keys = &c->keys, .have = &c->have, .pending = &c->pending, .cb = on_has
    };
    keystore_has(node_keystore(c->session->node), &c->has);
}

static void status_all(struct command *c)
{
    struct admin_session *s = c->session;
    struct keystore *ks = node_keystore(s->node);
    struct provider_status st;
    provider_status(c->provider, &st);
    (void)admin_print(s, "state        %s, %u servers known%s\n",
                      st.loading ? "loading" : provider_state_name(st.state), st.table,
                      st.has_address ? "" : ", no address of ours is told");
    (void)admin_print(s,
                      "keys         %" PRIu64 ", %" PRIu64 " never provided, %" PRIu64 " in work\n",
                      keystore_total(ks), keystore_pending(ks), st.ongoing_keys);
    (void)admin_print(s, "parts        %u scheduled, %u late, %u in work, %u %% not due\n",
                      st.scheduled, st.late, st.active, st.progress_millionths / 10000);
    (void)admin_print(s,
                      "records      %" PRIu64 " sent, %" PRIu64 " confirmed, %" PRIu64
                      " failed, %u.%03u holders a key\n",
                      st.totals.sent, st.totals.confirmed, st.totals.failed,
                      st.holders_milli / 1000, st.holders_milli % 1000);
    (void)admin_print(s, "oldest       %" PRIu64 " s; the last cycle took %" PRIu64 " s\n",
                      st.oldest_record_ms / 1000, st.cycle_ms / 1000);
    if (st.failure[0])
        (void)admin_print(s, "last failure %s\n", st.failure);
    finish(c, 0, NULL);
}

void admin_provide_start(struct admin_session *s)
{
    struct error err;
    bool status = s->argc > 0 && !strcmp(s->argv[0], "status");
    if (s->argc == 0 || (status && s->argc > 2)) {
        error_set(&err, ERR_USAGE, "provide takes KEY..., status, or status KEY");
        admin_fail(s, &err);
        return;
    }
    struct command *c = begin(s, !status);
    if (!c)
        return;
    if (status && s->argc == 2) {
        status_key(c);
    } else if (status) {
        status_all(c);
    } else {
        s->on_gone = provide_gone;
        provide_next(c);
    }
}

/* ---- find-providers KEY ---- */

static void on_provider(struct lookup *l, const struct kad_peer *provider)
{
    struct command *c = container_of(l, struct command, u.lookup);
    char id[PEER_ID_TEXT_MAX], address[256];
    uint32_t at = 0;
    for (uint32_t i = 0; i < c->found; i++)
        if (c->seen[i] == kad_first(provider->kad))
            return;
    if (c->found == PROVIDERS_MAX)
        return;
    c->seen[c->found++] = kad_first(provider->kad);
    (void)admin_print(c->session, "%s", peer_id_to_text(&provider->id, id));
    for (struct bytes a; (a = kad_peer_address(provider, &at)).size > 0;)
        if (!multiaddr_to_text(a, address, sizeof(address), NULL))
            (void)admin_print(c->session, " %s", address);
    (void)admin_print(c->session, "\n");
}

static void on_looked(struct lookup *l, const struct error *err)
{
    struct command *c = container_of(l, struct command, u.lookup);
    finish(c, c->found == 0, err);
}

static void find_gone(struct admin_session *s)
{
    struct command *c = s->state;
    lookup_cancel(&c->u.lookup);
}

void admin_find_providers_start(struct admin_session *s)
{
    struct error err;
    if (s->argc != 1) {
        error_set(&err, ERR_USAGE, "find-providers takes a KEY");
        admin_fail(s, &err);
        return;
    }
    struct command *c = begin(s, true);
    if (!c)
        return;
    struct lookup *l = &c->u.lookup;
    l->type = KAD_GET_PROVIDERS;
    l->cb = on_looked;
    l->on_provider = on_provider;
    if (key_of(s->argv[0], l->key, &l->key_size, &err)) {
        finish(c, 0, &err);
        return;
    }
    s->on_gone = find_gone;
    lookup_start(provider_dht(c->provider), l);
}
