#include "store/ldb_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"

void ldb_log_open(struct ldb_log *log, const char *path)
{
    snprintf(log->path, sizeof(log->path), "%s", path);
    log->fd = open(log->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    log->bytes = 0;
}

void ldb_log_close(struct ldb_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

static void start_anew(struct ldb_log *log)
{
    char path[sizeof(log->path)], old[sizeof(log->path) + 4];
    snprintf(path, sizeof(path), "%s", log->path);
    snprintf(old, sizeof(old), "%s.old", path);
    ldb_log_close(log);
    if (rename(path, old) && unlink(path))
        return; /* fd stays -1 */
    ldb_log_open(log, path);
}

void ldb_log_line(struct ldb_log *log, const char *format, va_list args)
{
    char line[512];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    size_t n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ ", &tm);
    int m = vsnprintf(line + n, sizeof(line) - n - 1, format, args);
    n = MIN(n + (size_t)MAX(m, 0), sizeof(line) - 2);
    if (line[n - 1] != '\n')
        line[n++] = '\n';
    if (log->bytes + n > LIMIT_LDB_LOG_BYTES)
        start_anew(log);
    if (log->fd >= 0 && write(log->fd, line, n) > 0)
        log->bytes += n;
}
