/* lib/node/p2p_room.h
 *
 * The limits of a configuration for what peers may hold, against the memory that the owner p2p has
 * (net/host_room.h counts). Above its ceiling there are fewer connections, down to
 * LIMIT_P2P_CONNECTIONS_MIN; above its share it borrows, which goes well while others leave it.
 * Thread: any.
 */
#ifndef LARDER_NODE_P2P_ROOM_H
#define LARDER_NODE_P2P_ROOM_H

struct config;
struct host_options;
struct mem_owner;
struct option_report;

/* Fills mem and the limits of out. */
void p2p_limits(const struct config *c, struct mem_owner *mem, struct host_options *out);
/* A line when too few connections have room: an error. */
void p2p_room_check(const struct config *c, struct option_report *report);
/* Lines about what the node runs with, and is hardly meant. */
void p2p_room_advise(const struct config *c, struct option_report *report);

#endif
