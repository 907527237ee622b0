/* lib/node/keys.h
 *
 * `larder keys`: what is done to the keystore, by the running node or where none runs.
 *   add KEY... | rm KEY... | has KEY... | count [BITS] | import FILE [bar] [replace] | export
 * Owns:   one command with its buffers, charged to the owner. One write batch, one slice of a file
 *         is in memory at a time.
 * Thread: loop only. Errors: ERR_USAGE, ERR_MALFORMED, ERR_IO, those of the keystore.
 */
#ifndef LARDER_NODE_KEYS_H
#define LARDER_NODE_KEYS_H

#include "base/error.h"

struct keys_command;
struct keystore;
struct loop;
struct mem_owner;
struct work_pool;

struct keys_place {
    struct keystore *keystore;
    struct loop *loop;
    struct work_pool *work;
    struct mem_owner *mem;
};
struct keys_io {
    /* False: no more until keys_space. */
    bool (*print)(void *ctx, bool to_stderr, const char *text);
    /* Once; the command is gone after it. err NULL: exit_code says whether all was well. */
    void (*done)(void *ctx, int exit_code, const struct error *err);
    void *ctx;
};
/* words are borrowed until done, which never comes from inside. */
enum err keys_start(struct keys_command **out, const struct keys_place *place, uint32_t argc,
                    const char *const *argv, const struct keys_io *io, struct error *err);
void keys_space(struct keys_command *c);
void keys_stop(struct keys_command *c); /* soon: after the write or read under way */

#endif
