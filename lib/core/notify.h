/* lib/core/notify.h
 *
 * Tells the service manager how it goes: lines KEY=VALUE in datagrams to the socket that
 * $NOTIFY_SOCKET names, and the watchdog, fed from the loop while that turns.
 * Source: sd_notify(3) and sd_watchdog_enabled(3) of systemd 252. No library is needed for it.
 * Owns:   one socket. Thread: loop only.
 * Errors: ERR_CONFIG for a socket name that cannot be. A manager that does not read is no error.
 */
#ifndef LARDER_CORE_NOTIFY_H
#define LARDER_CORE_NOTIFY_H

#include "base/error.h"

struct loop;
struct notify;

/* Without $NOTIFY_SOCKET in envp all calls do nothing. */
enum err notify_create(struct notify **out, struct loop *loop, char *const *envp,
                       struct error *err);
void notify_destroy(struct notify *n); /* NULL is fine */

void notify_ready(struct notify *n);     /* also ends a reload */
void notify_reloading(struct notify *n); /* carries the monotonic clock, as the manager wants it */
void notify_stopping(struct notify *n);
/* One line for people, shown by `systemctl status`. */
void notify_status(struct notify *n, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* From now on, the start or stop may take this long. */
void notify_extend(struct notify *n, uint64_t ms);

#endif
