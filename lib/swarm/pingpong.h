/* lib/swarm/pingpong.h
 *
 * /swarm/pingpong/1.0.0/pingpong: as many pings as the peer likes on one stream, each greeting is
 * answered in braces. Asked for by operators of a bee.
 * Thread: loop only. Errors of a session: ERR_MALFORMED.
 */
#ifndef LARDER_SWARM_PINGPONG_H
#define LARDER_SWARM_PINGPONG_H

#include "swarm/session.h"

extern const struct session_kind pingpong_kind; /* the session_ctx needs no owner */

#endif
