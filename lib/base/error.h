/* lib/base/error.h
 *
 * An error is a code and a sentence. The code decides (retry, drop the peer, stop: errors.def), the
 * sentence tells a person what happened.
 * Thread: any; an error is a plain value and needs no free.
 */
#ifndef LARDER_BASE_ERROR_H
#define LARDER_BASE_ERROR_H

#include "base/base.h"
#include "base/limits.h"

/* nodiscard on the type: whatever returns an enum err warns when it is dropped. */
enum [[nodiscard]] err{
#define ERROR(name, session, exit_code, text) ERR_##name,
#include "tables/errors.def" /* the first row is OK, so ERR_OK == 0 */
#undef ERROR
    ERR_COUNT
};

enum err_session {
    ERR_SESSION_NONE,
    ERR_SESSION_RETRY,
    ERR_SESSION_PEER,
    ERR_SESSION_LOCAL,
    ERR_SESSION_FATAL
};

struct error {
    enum err code;
    char text[LIMIT_ERROR_TEXT_BYTES]; /* "" when code is ERR_OK */
};

/* Sets err (which may be NULL) and returns code. The type is int so that a caller which only wants
 * the text may drop it; it converts to enum err in a return statement. A text that does not fit is
 * cut at its end. */
int error_set(struct error *err, enum err code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "sentence: " in front of what err already says. */
int error_wrap(struct error *err, enum err code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As error_set, with ": <strerror>" behind it; ENOSPC and EDQUOT become ERR_DISK_FULL, ENOENT stays
 * what code says. */
int error_errno(struct error *err, enum err code, int errnum, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

void error_clear(struct error *err);  /* NULL is fine */
const char *err_name(enum err code);  /* "NOT_FOUND" */
const char *err_label(enum err code); /* "not_found", for metric labels */
const char *err_text(enum err code);  /* the row's sentence */
int err_exit_code(enum err code);     /* of the row */
enum err_session err_session_of(enum err code);

/* A deliberate drop that can be searched for: err_ignore(f()). */
static inline void err_ignore(enum err code)
{
    (void)code;
}

#endif
