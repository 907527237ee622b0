/* lib/node/client.h
 *
 * The other end of the control socket, for subcommands: sends one request, and copies the answer to
 * standard output and standard error as it comes; how far the node is stands on standard error.
 * Thread: a process that has nothing else to do: it waits.
 * Errors: ERR_UNREACHABLE when no node runs there, ERR_CLOSED when it left in the middle.
 */
#ifndef LARDER_NODE_CLIENT_H
#define LARDER_NODE_CLIENT_H

#include "base/error.h"

struct client_output { /* may return an error to stop */
    enum err (*write)(void *ctx, bool to_stderr, const char *data, size_t size, struct error *err);
    void *ctx;
};

/* words: the command and its arguments, ended by NULL. output NULL: the process's own streams. */
enum err client_run(const char *data_dir, const char *const *words,
                    const struct client_output *output, int *exit_code, struct error *err);

#endif
