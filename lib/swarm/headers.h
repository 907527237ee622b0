/* lib/swarm/headers.h
 *
 * Headers: the first message each way on every Swarm stream but that of the handshake. The opener
 * sends its own at once and then nothing until the acceptor's have come: bee drops what arrives
 * with them and then waits for ever. The acceptor reads, then answers. Ours are always empty.
 * Thread: any. Errors: ERR_MALFORMED.
 */
#ifndef LARDER_SWARM_HEADERS_H
#define LARDER_SWARM_HEADERS_H

#include "base/bytes.h"

/* The message without its length. Keys are not looked at: they ask for nothing that we do. */
enum err headers_check(struct bytes message, struct error *err);

/* What we send, with its length: no headers at all. */
extern const uint8_t headers_none[1];

#endif
