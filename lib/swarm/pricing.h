/* lib/swarm/pricing.h
 *
 * /swarm/pricing/1.0.0/pricing: a bee says up to which debt it serves us, right after the
 * handshake, and hangs up when nobody listens. We owe nobody anything, since pullsync is free, so
 * the number is checked and forgotten; of our own we say none. Thread: loop only. Errors of a
 * session: ERR_MALFORMED.
 */
#ifndef LARDER_SWARM_PRICING_H
#define LARDER_SWARM_PRICING_H

#include "swarm/session.h"

extern const struct session_kind pricing_kind; /* the session_ctx needs no owner */

#endif
