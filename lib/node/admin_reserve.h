/* lib/node/admin_reserve.h
 *
 * The command `reserve` of the control socket and its subcommands: stats, list, verify, upload,
 * download. What moves content is in admin_content.c.
 * Thread: loop only.
 */
#ifndef LARDER_NODE_ADMIN_RESERVE_H
#define LARDER_NODE_ADMIN_RESERVE_H

struct admin_session;

void admin_reserve_start(struct admin_session *s);

/* admin_content.c; argv[0] is the subcommand. */
void admin_upload_start(struct admin_session *s);
void admin_download_start(struct admin_session *s);

/* admin_verify.c */
void admin_verify_start(struct admin_session *s);
void admin_repair_start(struct admin_session *s); /* the node was started for it */

#endif
