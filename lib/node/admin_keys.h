/* lib/node/admin_keys.h: the command `keys` of the control socket. Thread: loop only. */
#ifndef LARDER_NODE_ADMIN_KEYS_H
#define LARDER_NODE_ADMIN_KEYS_H

struct admin_session;

void admin_keys_start(struct admin_session *s);

#endif
