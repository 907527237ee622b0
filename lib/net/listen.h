/* lib/net/listen.h
 *
 * A listening TCP socket from an address as people write it: 127.0.0.1:9733, [::1]:0. Numbers only,
 * since a name would have to be resolved.
 * Owns:   the descriptor. Thread: any.
 * Errors: ERR_CONFIG (the address makes no sense), ERR_SYSTEM (it is taken, or not ours).
 */
#ifndef LARDER_NET_LISTEN_H
#define LARDER_NET_LISTEN_H

#include "base/error.h"

struct sockaddr;

struct listen {
    int fd;           /* non-blocking; -1: none */
    bool loopback;    /* nobody else can reach it */
    char address[64]; /* what is really bound: port 0 became one that was free */
};
enum err listen_open(struct listen *out, const char *address, int backlog, struct error *err);
void listen_close(struct listen *l); /* once more is fine */

bool sockaddr_is_loopback(const struct sockaddr *sa); /* 127.0.0.0/8, also mapped, and ::1 */

#endif
