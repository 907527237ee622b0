#include "node/scrape.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "net/http_server.h"
#include "node/admin_text.h"
#include "node/auth.h"
#include "node/facts.h"
#include "node/node_state.h"
#include "node/p2p_peers.h"
#include "node/status.h"

#define TEXT "text/plain; charset=utf-8"

struct scrape {
    struct node *node;
    struct mem_owner *mem;
    struct auth *auth;
    struct http_server *server;
    struct status_section section;
};

static void answer(struct http_request *req, unsigned status, const char *text)
{
    http_answer_text(req, status, TEXT, text, strlen(text));
}

/* ---- what can be asked ---- */

struct metrics_source {
    struct mem_owner *mem;
    struct metrics_page page;
};

static size_t metrics_next(void *ctx, char *buf, size_t size)
{
    struct metrics_source *m = ctx;
    return metrics_page_next(&m->page, buf, size);
}

static void metrics_end(void *ctx)
{
    struct metrics_source *m = ctx;
    mem_free(m->mem, m);
}

static void answer_metrics(struct scrape *s, struct http_request *req)
{
    struct metrics_source *m = mem_zalloc(s->mem, sizeof(*m));
    m->mem = s->mem;
    metrics_page_begin(&m->page);
    http_answer_source(req, 200, METRICS_CONTENT_TYPE,
                       &(struct http_source){ metrics_next, metrics_end, m });
}

/* The loop turns, or nobody would answer. */
static void answer_healthz(struct scrape *s UNUSED, struct http_request *req)
{
    answer(req, 200, "ok\n");
}

static void answer_readyz(struct scrape *s, struct http_request *req)
{
    char text[LIMIT_READYZ_BYTES];
    enum readiness r = status_readiness(node_status(s->node), text, sizeof(text));
    answer(req, r == READINESS_WAITING ? 503 : 200, text);
}

static void answer_status(struct scrape *s, struct http_request *req)
{
    struct error err = { ERR_OK, "" };
    size_t used = 0;
    char *buf = mem_try_alloc(s->mem, LIMIT_STATUS_BYTES);
    enum err rc = buf ? status_write(node_status(s->node), buf, LIMIT_STATUS_BYTES, &used, &err)
                      : (enum err)mem_refused(s->mem, LIMIT_STATUS_BYTES, &err);
    if (rc)
        answer(req, rc == ERR_BUDGET ? 503 : 500, err.text);
    else
        http_answer_text(req, 200, "application/json", buf, used);
    mem_free(s->mem, buf);
}

static void answer_peers(struct scrape *s, struct http_request *req)
{
    struct error err = { ERR_OK, "" };
    struct admin_text *t = mem_try_alloc(s->mem, sizeof(*t) + LIMIT_PEERS_TEXT_BYTES);
    enum err rc = t ? ERR_OK : (enum err)mem_refused(s->mem, LIMIT_PEERS_TEXT_BYTES, &err);
    if (!rc) {
        t->at = t->size = 0;
        t->room = LIMIT_PEERS_TEXT_BYTES;
        rc = p2p_peers_json(s->node, s->mem, t, &err);
    }
    if (rc)
        answer(req, rc == ERR_UNREACHABLE ? 404 : 503, err.text);
    else
        http_answer_text(req, 200, "application/json", t->text, t->size);
    mem_free(s->mem, t);
}

static void answer_reload(struct scrape *s, struct http_request *req)
{
    reload_start(s->node);
    answer(req, 202, "The configuration is being read again; the log says what came of it.\n");
}

static const struct route {
    const char *method, *path;
    void (*run)(struct scrape *s, struct http_request *req);
} routes[] = {
#define ROUTE(name, method, path, sentence) { method, path, answer_##name },
#include "tables/routes.def"
};

static const char no_route[] = "There is\n"
#define ROUTE(name, method, path, sentence) method " " path "\n"
#include "tables/routes.def"
    ;

/* ---- who may ask ---- */

static bool only_reads(const char *method)
{
    return !strcmp(method, "GET") || !strcmp(method, "HEAD");
}

/* A web page that a browser of this machine shows can send requests here too; those have an Origin.
 */
static bool may_ask(struct scrape *s, struct http_request *req)
{
    if (only_reads(http_request_method(req)))
        return true;
    if (http_server_is_loopback(s->server) && http_request_is_local(req) &&
        !http_request_header(req, "Origin"))
        return true;
    struct error err = { ERR_OK, "" };
    if (auth_check(s->auth, http_request_header(req, "Authorization"), &err) == ERR_OK)
        return true;
    metric_add(METRIC_http_unauthorized_total, 1);
    char text[LIMIT_ERROR_TEXT_BYTES + 2];
    snprintf(text, sizeof(text), "%s\n", err.text);
    http_answer_header(req, "WWW-Authenticate", "Bearer realm=\"larder\"");
    answer(req, 401, text);
    return false;
}

static void handle(void *ctx, struct http_request *req)
{
    struct scrape *s = ctx;
    const char *method = http_request_method(req), *path = http_request_path(req);
    const struct route *other = NULL;
    if (!may_ask(s, req))
        return;
    if (!strcmp(method, "HEAD"))
        method = "GET";
    for (const struct route *r = routes; r < routes + ARRAY_SIZE(routes); r++) {
        if (strcmp(r->path, path) != 0)
            continue;
        if (!strcmp(r->method, method)) {
            r->run(s, req);
            return;
        }
        other = r;
    }
    if (!other) {
        answer(req, 404, no_route);
        return;
    }
    http_answer_header(req, "Allow", !strcmp(other->method, "GET") ? "GET, HEAD" : other->method);
    answer(req, 405, "This path takes another method.\n");
}

/* ---- the part ---- */

static void write_http(struct status_section *section, struct json_writer *w)
{
    struct scrape *s = container_of(section, struct scrape, section);
    json_put_text(w, "address", http_server_address(s->server));
    json_put_uint(w, "connections", http_server_connections(s->server));
    json_put_uint(w, "connections_limit", LIMIT_HTTP_CONNECTIONS);
}

enum err scrape_part_start(struct node *n, struct error *err)
{
    const struct config *c = n->started;
    if (!c->http_addr[0])
        return ERR_OK;
    struct scrape *s = mem_zalloc(n->mem, sizeof(*s));
    n->scrape = s;
    s->node = n;
    s->mem = node_owner(n, "http");
    enum err rc = auth_create(&s->auth, n->mem, c->http_token_file, err);
    const struct http_server_options options = { n->env.loop, s->mem, c->http_addr, handle, s };
    if (!rc)
        rc = http_server_create(&s->server, &options, err);
    if (!rc)
        rc = facts_set_text(n->facts, "http", http_server_address(s->server), err);
    if (rc)
        return rc;
    s->section.name = "http";
    s->section.write = write_http;
    status_section_add(node_status(n), &s->section);
    if (!http_server_is_loopback(s->server))
        log_warning("HTTP is open beyond this machine, on %s", http_server_address(s->server));
    return ERR_OK;
}

void scrape_part_stop(struct node *n)
{
    struct scrape *s = n->scrape;
    n->scrape = NULL;
    if (!s)
        return;
    status_section_remove(&s->section);
    http_server_destroy(s->server);
    auth_destroy(s->auth);
    mem_free(n->mem, s);
}
