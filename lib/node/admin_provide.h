/* lib/node/admin_provide.h: the commands `provide` and `find-providers` of the control socket.
 * Thread: loop only. */
#ifndef LARDER_NODE_ADMIN_PROVIDE_H
#define LARDER_NODE_ADMIN_PROVIDE_H

struct admin_session;

/* KEY... | status [KEY] */
void admin_provide_start(struct admin_session *s);
/* KEY */
void admin_find_providers_start(struct admin_session *s);

#endif
