#include "node/reprovide.h"

#include "base/mem.h"
#include "core/config.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "store/keystore.h"

struct reprovide {
    struct node *node;
    struct mem_owner *mem;
    struct keystore *keystore;
    bool open;
    struct node_hold hold;
};

struct keystore *node_keystore(struct node *n)
{
    return n->reprovide && n->reprovide->open ? n->reprovide->keystore : NULL;
}

static void on_opened(void *ctx, const struct error *err)
{
    struct reprovide *r = ctx;
    r->open = !err;
    node_release(r->node, &r->hold, err);
}

enum err reprovide_part_start(struct node *n, struct error *err)
{
    if (!n->started->reprovide)
        return ERR_OK;
    struct mem_owner *mem = node_owner(n, "reprovide");
    struct reprovide *r = n->reprovide = mem_zalloc(mem, sizeof(*r));
    r->node = n;
    r->mem = mem;
    enum err rc = keystore_create(&r->keystore, stores_find(node_stores(n), "keystore"),
                                  n->env.loop, mem, err);
    if (rc)
        return rc;
    node_hold(n, &r->hold, "reading the keystore");
    keystore_open(r->keystore, on_opened, r);
    return ERR_OK;
}

void reprovide_part_stop(struct node *n)
{
    struct reprovide *r = n->reprovide;
    if (!r)
        return;
    keystore_destroy(r->keystore);
    mem_free(r->mem, r);
    n->reprovide = NULL;
}
