/* lib/node/admin_backup.h: the command `backup DIR` of the control socket. Thread: loop only. */
#ifndef LARDER_NODE_ADMIN_BACKUP_H
#define LARDER_NODE_ADMIN_BACKUP_H

struct admin_session;

/* argv: the folder, an absolute path that the node may write to. */
void admin_backup_start(struct admin_session *s);

#endif
