/* lib/node/admin_p2p.h
 *
 * Commands of the control socket about peers: peers, ping, identify. Thread: loop only.
 */
#ifndef LARDER_NODE_ADMIN_P2P_H
#define LARDER_NODE_ADMIN_P2P_H

struct admin_session;

void admin_peers_start(struct admin_session *s);    /* peers [json] */
void admin_ping_start(struct admin_session *s);     /* ping MULTIADDR COUNT */
void admin_identify_start(struct admin_session *s); /* identify MULTIADDR */

#endif
