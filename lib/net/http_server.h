/* lib/net/http_server.h
 *
 * HTTP/1.1 on the loop, by libmicrohttpd; http_server.c alone knows it.
 * Owns:   the listening socket and all connections, each with a pool of LIMIT_HTTP_POOL_BYTES.
 * Memory: a connection and every answer under way are charged to the owner given. No memory means
 *         what the limit on connections means.
 * Thread: loop only. Few requests are handled per turn; the others wait, suspended.
 * Errors: ERR_CONFIG (the address makes no sense), ERR_SYSTEM (it cannot be listened on).
 *
 * Deadlines are total, since a client that sends a byte now and then is never silent: a request is
 * whole LIMIT_HTTP_REQUEST_MS after its connection began or its last answer ended, an answer is
 * gone LIMIT_HTTP_ANSWER_MS after its request was whole. At LIMIT_HTTP_CONNECTIONS the connection
 * that has waited longest for its request is cut for the new one.
 */
#ifndef LARDER_NET_HTTP_SERVER_H
#define LARDER_NET_HTTP_SERVER_H

#include "base/error.h"

struct http_request;
struct http_server;
struct loop;
struct mem_owner;

/* Called once for each whole request. It answers with one of the http_answer_* below, at once or
 * later; a request is a struct of the server's and gone when its connection is. */
typedef void http_handler(void *ctx, struct http_request *req);

struct http_server_options {
    struct loop *loop;
    struct mem_owner *owner;
    const char *address; /* "127.0.0.1:9733", "[::1]:0"; numbers only, port 0: any that is free */
    http_handler *handler;
    void *ctx;
};
enum err http_server_create(struct http_server **out, const struct http_server_options *options,
                            struct error *err);
/* Cuts what is left; handlers hear of it by their on_gone. NULL is fine. */
void http_server_destroy(struct http_server *s);

const char *http_server_address(const struct http_server *s);  /* what is really bound */
bool http_server_is_loopback(const struct http_server *s);     /* nobody else can reach it */
unsigned http_server_connections(const struct http_server *s); /* now */

/* What was asked. Texts live as long as the request. */
const char *http_request_method(const struct http_request *req);
const char *http_request_path(const struct http_request *req); /* without query, unescaped */
const char *http_request_header(const struct http_request *req, const char *name); /* or NULL */
bool http_request_is_local(const struct http_request *req); /* from this machine's loopback */

/* For a handler that answers later: called when the connection ends first. No answer may follow. */
void http_request_on_gone(struct http_request *req, void (*gone)(void *ctx), void *ctx);

/* A header of the answer, before it is given; the name is a literal, the text is copied. At most
 * LIMIT_HTTP_ANSWER_HEADERS. Cache-Control: no-store and X-Content-Type-Options: nosniff are there
 * by themselves. */
void http_answer_header(struct http_request *req, const char *name, const char *text);

/* A whole body, copied. With too little memory for it the answer is 503. */
void http_answer_text(struct http_request *req, unsigned status, const char *content_type,
                      const char *text, size_t size);

/* A body in pieces, made as fast as the client takes them: next fills buf (of at least
 * LIMIT_HTTP_PIECE_BYTES) and returns how much; 0 at the end. end is called once in any case, also
 * when the answer could not begin. */
struct http_source {
    size_t (*next)(void *ctx, char *buf, size_t size);
    void (*end)(void *ctx);
    void *ctx;
};
void http_answer_source(struct http_request *req, unsigned status, const char *content_type,
                        const struct http_source *source);

#endif
