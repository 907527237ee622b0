#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "core/metrics.h"

static_assert((int)METRIC_LABELS_level == (int)LOG_LEVELS, "metrics.def names each level");

/* What follows the text of a line at least: its closing quote, brace and newline. */
enum { LINE_CLOSERS_BYTES = 16, LINE_TEXT_BYTES = LIMIT_LOG_LINE_BYTES - LINE_CLOSERS_BYTES };

static const struct {
    const char *name, *text, *colour;
    int priority; /* of syslog, which the journal reads as <N> */
} levels[LOG_LEVELS] = {
    [LOG_LEVEL_ERROR] = { "error", "ERROR", "\033[31m", 3 },
    [LOG_LEVEL_WARNING] = { "warning", "WARN ", "\033[33m", 4 },
    [LOG_LEVEL_INFO] = { "info", "info ", "", 6 },
    [LOG_LEVEL_DEBUG] = { "debug", "debug", "\033[2m", 7 },
};

static struct log_options options = { LOG_LEVEL_INFO, LOG_FORMAT_TEXT, false };

static struct sink {
    bool ready;        /* the fields below are set */
    bool journal;      /* the journal reads it: priorities, and no time of ours */
    bool colours;      /* it is a terminal that wants them */
    int fd, reopened;  /* reopened: our own non-blocking way to it, or -1 */
    bool socket, file; /* a file never waits for a reader */
    char tail[LIMIT_LOG_LINE_BYTES];
    size_t tail_size; /* rest of a line whose beginning is out already */
    uint64_t dropped; /* since the last line that got through */
} sink = { .fd = STDERR_FILENO, .reopened = -1 };

/* ---- where lines go ---- */

/* The journal says which stream is its own: a service may have its stderr elsewhere. */
static bool is_journal(const struct stat *st)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && dev == st->st_dev &&
           ino == st->st_ino;
}

static bool wants_colours(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
}

/* O_NONBLOCK belongs to the open file, which we share with whoever started us: a pipe or terminal
 * is opened anew for ourselves. Where that is refused, poll is asked before each line. */
static void sink_open(void)
{
    struct stat st;
    sink.ready = true;
    if (fstat(sink.fd, &st) != 0)
        return;
    sink.journal = is_journal(&st);
    sink.socket = S_ISSOCK(st.st_mode);
    sink.file = S_ISREG(st.st_mode);
    sink.colours = wants_colours(sink.fd);
    if (!S_ISFIFO(st.st_mode) && !isatty(sink.fd))
        return;
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", sink.fd);
    sink.reopened = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_setup_fd(int fd)
{
    if (sink.reopened >= 0)
        close(sink.reopened);
    memset(&sink, 0, sizeof(sink));
    sink.fd = fd;
    sink.reopened = -1;
}

void log_setup(const struct log_options *o)
{
    assert(o->level < LOG_LEVELS);
    options = *o;
}

bool log_enabled(enum log_level level)
{
    return level <= options.level;
}

/* How much of it went out, without waiting. */
static size_t sink_write(const char *data, size_t size)
{
    ssize_t n;
    struct pollfd p = { .fd = sink.fd, .events = POLLOUT };
    if (sink.socket)
        n = send(sink.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    else if (sink.reopened >= 0)
        n = write(sink.reopened, data, size);
    else if (sink.file || poll(&p, 1, 0) == 1)
        n = write(sink.fd, data, size);
    else
        return 0;
    return n < 0 ? 0 : (size_t)n;
}

static bool sink_flush_tail(void)
{
    size_t n = sink.tail_size > 0 ? sink_write(sink.tail, sink.tail_size) : 0;
    memmove(sink.tail, sink.tail + n, sink.tail_size - n);
    sink.tail_size -= n;
    return sink.tail_size == 0;
}

static bool sink_line(const char *line, size_t size)
{
    size_t n = sink_write(line, size);
    if (n == 0)
        return false;
    memcpy(sink.tail, line + n, size - n);
    sink.tail_size = size - n;
    return true;
}

/* ---- text ---- */

/* Length of the valid UTF-8 sequence at p (NUL-terminated), 0 when there is none. */
static size_t utf8_size(const unsigned char *p)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    uint32_t c = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    /* C1 controls steer terminals as ESC does. */
    return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) && c >= 0xa0 ? n : 0;
}

enum quoting { QUOTING_NONE, QUOTING_LOGFMT, QUOTING_JSON };

static void put(struct writer *w, const char *text)
{
    writer_put(w, text, strlen(text));
}

/* Nothing that a peer sent reaches a terminal or a parser as anything but text: controls and what
 * is not UTF-8 are spelled out, and a cut keeps the line well-formed. */
static void put_escaped(struct writer *w, const char *text, enum quoting q)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t n; *p; p += n) {
        if (writer_left(w) < 12) {
            put(w, "...");
            return;
        }
        char code[8];
        size_t valid = utf8_size(p);
        n = MAX(valid, 1);
        if (q != QUOTING_NONE && (*p == '"' || *p == '\\'))
            snprintf(code, sizeof(code), "\\%c", *p);
        else if (valid > 0 && *p >= 0x20 && *p != 0x7f) {
            writer_put(w, p, n);
            continue;
        } else if (q == QUOTING_JSON)
            snprintf(code, sizeof(code), "\\u%04x", valid > 0 ? *p : 0xfffd);
        else
            snprintf(code, sizeof(code), *p == '\n' ? "\\n" : "\\x%02x", *p);
        put(w, code);
    }
}

static void put_value(struct writer *w, const char *text, enum quoting q)
{
    bool plain = q == QUOTING_LOGFMT && text[0];
    for (const char *p = text; *p && plain; p++)
        plain = *p > ' ' && *p < 0x7f && *p != '"' && *p != '=' && *p != '\\';
    if (!plain)
        put(w, "\"");
    put_escaped(w, text, q);
    if (!plain)
        put(w, "\"");
}

static void put_field(struct writer *w, const struct log_field *f)
{
    char number[24], shown[LINE_TEXT_BYTES];
    enum quoting q = options.format == LOG_FORMAT_JSON ? QUOTING_JSON : QUOTING_LOGFMT;
    put(w, q == QUOTING_JSON ? ",\"" : " ");
    put(w, f->key);
    put(w, q == QUOTING_JSON ? "\":" : "=");
    switch (f->kind) {
    case LOG_FIELD_TEXT:
        snprintf(shown, sizeof(shown), "%s", f->value.text);
        if (options.redact_addresses)
            log_redact(shown, sizeof(shown), f->value.text);
        put_value(w, shown, q);
        break;
    case LOG_FIELD_UINT:
        snprintf(number, sizeof(number), "%" PRIu64, f->value.uint);
        put(w, number);
        break;
    case LOG_FIELD_INT:
        snprintf(number, sizeof(number), "%" PRId64, f->value.sint);
        put(w, number);
        break;
    case LOG_FIELD_BOOL:
        put(w, f->value.uint ? "true" : "false");
        break;
    }
}

/* 2026-11-21T12:00:00.123Z */
static void put_time(struct writer *w)
{
    struct timespec now;
    struct tm tm;
    char text[32], whole[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(whole, sizeof(whole), "%s.%03uZ", text, (unsigned)(now.tv_nsec / 1000000) % 1000);
    put(w, whole);
}

static void put_head(struct writer *w, enum log_level level, const char *message)
{
    switch (options.format) {
    case LOG_FORMAT_TEXT:
        if (!sink.journal) {
            put_time(w);
            put(w, " ");
            put(w, sink.colours ? levels[level].colour : "");
            put(w, levels[level].text);
            put(w, sink.colours && levels[level].colour[0] ? "\033[0m " : " ");
        }
        put_escaped(w, message, QUOTING_NONE);
        break;
    case LOG_FORMAT_LOGFMT:
        put(w, "time=");
        put_time(w);
        put(w, " level=");
        put(w, levels[level].name);
        put(w, " msg=");
        put_value(w, message, QUOTING_LOGFMT);
        break;
    case LOG_FORMAT_JSON:
        put(w, "{\"time\":\"");
        put_time(w);
        put(w, "\",\"level\":\"");
        put(w, levels[level].name);
        put(w, "\",\"message\":");
        put_value(w, message, QUOTING_JSON);
        break;
    }
}

/* A field is on the line as a whole, or cut inside its quotes, or not at all. */
static void put_fields(struct writer *w, const struct log_field *f)
{
    for (; f && f->key && writer_left(w) > strlen(f->key) + 48; f++)
        put_field(w, f);
}

static size_t compose(char *line, enum log_level level, const struct log_field *fields,
                      const struct log_field *ours, const char *message)
{
    struct writer w = writer_of(line, LINE_TEXT_BYTES);
    if (sink.journal) {
        char prefix[8];
        snprintf(prefix, sizeof(prefix), "<%d>", levels[level].priority);
        put(&w, prefix);
    }
    put_head(&w, level, message);
    put_fields(&w, ours);
    put_fields(&w, fields);
    w.end += LINE_CLOSERS_BYTES;
    w.overflow = false;
    put(&w, options.format == LOG_FORMAT_JSON ? "}\n" : "\n");
    return writer_used(&w);
}

/* ---- a line ---- */

static bool site_allows(struct log_site *site)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (site->period_began_ms == 0 || now_ms - site->period_began_ms >= LIMIT_LOG_SITE_PERIOD_MS) {
        site->period_began_ms = now_ms;
        site->lines = 0;
    }
    if (site->lines < LIMIT_LOG_SITE_LINES) {
        site->lines++;
        return true;
    }
    site->suppressed++;
    metric_add(METRIC_log_suppressed_total, 1);
    return false;
}

void log_write(enum log_level level, struct log_site *site, const struct log_field *fields,
               const char *fmt, ...)
{
    static char line[LIMIT_LOG_LINE_BYTES]; /* the loop's own, as all of the log */
    char text[LIMIT_LOG_LINE_BYTES / 2], message[LIMIT_LOG_LINE_BYTES / 2];
    metric_add_by(METRIC_log_lines_total, level, 1);
    if (!site_allows(site))
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (options.redact_addresses)
        log_redact(message, sizeof(message), text);
    if (!sink.ready)
        sink_open();

    struct log_field ours[3] = { 0 };
    unsigned n = 0;
    if (site->suppressed > 0)
        ours[n++] = log_uint("suppressed", site->suppressed);
    if (sink.dropped > 0)
        ours[n++] = log_uint("dropped", sink.dropped);
    size_t size = compose(line, level, fields, ours, options.redact_addresses ? message : text);
    if (sink_flush_tail() && sink_line(line, size)) {
        sink.dropped = 0;
        site->suppressed = 0;
    } else {
        sink.dropped++;
        metric_add(METRIC_log_dropped_total, 1);
    }
}
