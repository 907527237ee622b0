/* lib/core/signal.h
 *
 * SIGHUP, SIGTERM and SIGINT as callbacks of the loop. SIGPIPE is ignored from here on: a peer that
 * goes away while we write is an error of that write.
 * Owns:   its watchers; while they stand, loop_run goes on.
 * Thread: loop only.
 * Errors: ERR_SYSTEM when the system refuses a watcher.
 */
#ifndef LARDER_CORE_SIGNAL_H
#define LARDER_CORE_SIGNAL_H

#include "base/error.h"

struct loop;
struct signals;

struct signal_handlers {
    void (*reload)(void *ctx);                      /* SIGHUP */
    void (*terminate)(void *ctx, const char *name); /* "SIGTERM" or "SIGINT"; each time */
    void *ctx;
};

enum err signals_create(struct signals **out, struct loop *loop,
                        const struct signal_handlers *handlers, struct error *err);
/* The memory goes on the loop's next turn. NULL is fine. From now on the three signals end the
 * process, as they did before. */
void signals_destroy(struct signals *s);

#endif
