/* lib/node/auth.h
 *
 * Who may change state over HTTP: whoever shows the token of `http-token-file`, as
 * "Authorization: Bearer TOKEN" (RFC 6750). The token itself is not kept, only its hash.
 * Owns:   the hash. Thread: loop; create reads a file, so before anybody is served.
 * Errors: ERR_CONFIG when the file is no token or may be read by everybody; ERR_REFUSED otherwise.
 */
#ifndef LARDER_NODE_AUTH_H
#define LARDER_NODE_AUTH_H

#include "base/error.h"

struct auth;
struct mem_owner;

/* path "": nobody is let in. */
enum err auth_create(struct auth **out, struct mem_owner *mem, const char *path, struct error *err);
/* For check-config: would it take this file? */
enum err auth_token_check(const char *path, struct error *err);
void auth_destroy(struct auth *a); /* NULL is fine */

/* header: of Authorization, or NULL. The time it takes tells nothing about the token. */
enum err auth_check(const struct auth *a, const char *header, struct error *err);

#endif
