#include "base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
    enum err_session session;
    int exit_code;
} rows[] = {
#define ERROR(name, session, exit_code, text) { #name, text, ERR_SESSION_##session, exit_code },
#include "tables/errors.def"
#undef ERROR
};

/* Lower-case names for metric labels, made once from the rows by err_label. */
static char labels[ERR_COUNT][16];

static void format_text(struct error *err, const char *fmt, va_list args)
{
    vsnprintf(err->text, sizeof(err->text), fmt, args);
}

int error_set(struct error *err, enum err code, const char *fmt, ...)
{
    assert(code > ERR_OK && code < ERR_COUNT);
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        format_text(err, fmt, args);
        va_end(args);
    }
    return (int)code;
}

int error_wrap(struct error *err, enum err code, const char *fmt, ...)
{
    assert(code > ERR_OK && code < ERR_COUNT);
    if (err) {
        struct error inner = *err;
        va_list args;
        va_start(args, fmt);
        err->code = code;
        format_text(err, fmt, args);
        va_end(args);
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                 inner.code ? inner.text : err_text(code));
    }
    return (int)code;
}

int error_errno(struct error *err, enum err code, int errnum, const char *fmt, ...)
{
    assert(code > ERR_OK && code < ERR_COUNT);
    enum err mapped = errnum == ENOSPC || errnum == EDQUOT ? ERR_DISK_FULL : code;
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = mapped;
        format_text(err, fmt, args);
        va_end(args);
        char reason[96];
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                 strerror_r(errnum, reason, sizeof(reason)));
    }
    return (int)mapped;
}

void error_clear(struct error *err)
{
    if (err) {
        err->code = ERR_OK;
        err->text[0] = '\0';
    }
}

const char *err_name(enum err code)
{
    assert(code < ERR_COUNT);
    return rows[code].name;
}

const char *err_label(enum err code)
{
    assert(code < ERR_COUNT);
    char *label = labels[code];
    if (!label[0]) {
        const char *name = rows[code].name;
        assert(strlen(name) < sizeof(labels[0]));
        for (size_t i = strlen(name); i-- > 0;) /* backwards: label[0] is what says "made" */
            label[i] = (char)tolower((unsigned char)name[i]);
    }
    return label;
}

const char *err_text(enum err code)
{
    assert(code < ERR_COUNT);
    return rows[code].text;
}

int err_exit_code(enum err code)
{
    assert(code < ERR_COUNT);
    return rows[code].exit_code;
}

enum err_session err_session_of(enum err code)
{
    assert(code < ERR_COUNT);
    return rows[code].session;
}
