/* lib/node/admin_text.h
 *
 * An answer on the control socket that is made as a whole and handed out as its reader takes it.
 * Owns:   the text, charged to the owner "node" until it is sent or its reader has left.
 * Thread: loop only.
 */
#ifndef LARDER_NODE_ADMIN_TEXT_H
#define LARDER_NODE_ADMIN_TEXT_H

#include <stddef.h>

#include "base/base.h"

struct admin_session;

struct admin_text {
    size_t at, size, room;
    char text[];
};
/* NULL: no memory, and the session has been told so and ended. */
struct admin_text *admin_text_make(struct admin_session *s, size_t room);
void admin_text_add(struct admin_text *t, const char *fmt, ...) PRINTF_LIKE(2, 3); /* or cut */
/* Takes t; the session ends with exit code 0. */
void admin_text_send(struct admin_session *s, struct admin_text *t);

#endif
