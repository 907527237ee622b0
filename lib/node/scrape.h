/* lib/node/scrape.h
 *
 * What the node answers over HTTP: /metrics, /healthz, /readyz, /api/v1/status. A subsystem adds
 * paths of its own as rows of the table in scrape.c.
 * What changes state (any method but GET and HEAD) needs the token of `http-token-file`, unless it
 * comes from this machine to an address that only this machine reaches, and from no web page.
 * Owns:   the HTTP server and its token. Thread: loop only.
 * Errors: ERR_CONFIG, ERR_SYSTEM: the address or the token is no good.
 */
#ifndef LARDER_NODE_SCRAPE_H
#define LARDER_NODE_SCRAPE_H

#include "base/error.h"

struct node;
struct scrape;

/* Rows of the table of parts. Nothing is opened when `http-addr` is empty. */
enum err scrape_part_start(struct node *n, struct error *err);
void scrape_part_stop(struct node *n);

#endif
