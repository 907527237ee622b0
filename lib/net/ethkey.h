/* lib/net/ethkey.h
 *
 * Ethereum keys in files: 64 hex digits (0x before them and white space around them are fine). The
 * node's own decides its overlay; those of batch owners sign stamps.
 * Ownership: the secret is the caller's; wipe it with secret_wipe. Nothing is kept here.
 * Thread: before the loop runs, or a worker: these calls block.
 * Errors: those of net/secret_file.h; ERR_CORRUPT: it holds no key.
 */
#ifndef LARDER_NET_ETHKEY_H
#define LARDER_NET_ETHKEY_H

#include "codec/sig.h"

/* From a file that others look after: its mode is not looked at. */
enum err ethkey_read(const char *path, uint8_t out[SIG_SECRET_BYTES], struct error *err);
/* From a file for nobody else; a new key is made and synced (0600) when it is not there. */
enum err ethkey_open(int dir_fd, const char *name, uint8_t out[SIG_SECRET_BYTES],
                     struct error *err);

/* A signer for it, blinded afresh. */
enum err ethkey_signer(struct sig_signer *s, const uint8_t secret[SIG_SECRET_BYTES],
                       struct error *err);

#endif
