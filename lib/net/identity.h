/* lib/net/identity.h
 *
 * The node's secret key: read once at start, made at the first start. The file holds libp2p's
 * private key message, as go-libp2p and bee write it: ed25519, secp256k1 or P-256. Ownership: the
 * secret is the caller's; wipe it with secret_wipe. Nothing is kept here. Thread: before the loop
 * runs; it touches the disk. Errors: ERR_CONFIG (somebody else may read the file), ERR_CORRUPT (it
 * holds no key), ERR_UNSUPPORTED (an RSA key), ERR_IO, ERR_NOT_FOUND.
 */
#ifndef LARDER_NET_IDENTITY_H
#define LARDER_NET_IDENTITY_H

#include "codec/peerid.h"

/* From a file that others look after, such as a systemd credential: its mode is not looked at. */
enum err identity_read(const char *path, struct peer_secret *out, struct error *err);

/* From a file of the data directory; an ed25519 key is made and synced (0600) when it is not there.
 * A file that group or others may read is refused. */
enum err identity_open(int dir_fd, const char *name, struct peer_secret *out, struct error *err);

#endif
