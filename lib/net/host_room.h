/* lib/net/host_room.h
 *
 * How much a host may take by its options, and how many connections its memory has room for.
 * Thread: any; nothing is kept.
 */
#ifndef LARDER_NET_HOST_ROOM_H
#define LARDER_NET_HOST_ROOM_H

#include "net/host_options.h"

/* Puts what a zero stands for in its place, by the share and the ceiling of o->mem. Without
 * connections_max there are as many as the ceiling holds beside all that they may hold: else that
 * is never reached, and who comes first leaves no room for others. At least one, at most
 * LIMIT_P2P_CONNECTIONS. */
void host_options_fill(struct host_options *o);
/* What connections may hold in queues and pools, however many they are. o is filled. */
uint64_t host_room_held(const struct host_options *o);
/* What so many connections take at most, with those that we dial beside them, their streams and
 * what all of them hold. */
uint64_t host_room_bytes(uint32_t connections, uint64_t held_bytes);

#endif
