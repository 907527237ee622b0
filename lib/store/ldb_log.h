/* lib/store/ldb_log.h
 *
 * LevelDB's diagnostics of one store (its file LOG, which would grow without end): bounded, the
 * file before is kept as LOG.old. Thread: one at a time; the caller sees to it.
 */
#ifndef LARDER_STORE_LDB_LOG_H
#define LARDER_STORE_LDB_LOG_H

#include <stdarg.h>

#include "base/base.h"

struct ldb_log {
    char path[512];
    int fd; /* -1: lines are dropped */
    size_t bytes;
};

void ldb_log_open(struct ldb_log *log, const char *path);
void ldb_log_close(struct ldb_log *log);
/* What does not fit on the disk is lost: it is only diagnostics. */
void ldb_log_line(struct ldb_log *log, const char *format, va_list args) PRINTF_LIKE(2, 0);

#endif
