/* lib/node/status_page.h
 *
 * The status document as a page for a terminal. Memory, disk and loop have a form of their own;
 * what else the document has is shown as it comes, so that a new section needs nothing here.
 * Owns:   the parsed document. Thread: a subcommand's; any.
 * Errors: ERR_MALFORMED, ERR_TOO_LARGE: it is no status document.
 */
#ifndef LARDER_NODE_STATUS_PAGE_H
#define LARDER_NODE_STATUS_PAGE_H

#include <stdio.h>

#include "base/bytes.h"

struct mem_owner;
struct status_page;

enum err status_page_parse(struct status_page **out, struct mem_owner *owner, struct bytes json,
                           struct error *err);
void status_page_destroy(struct status_page *p); /* NULL is fine */

/* colours: f is a terminal that wants them. */
void status_page_print(const struct status_page *p, FILE *f, bool colours);

#endif
