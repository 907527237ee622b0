/* lib/codec/json.h
 *
 * JSON both ways, streaming (RFC 8259), by libyajl; json.c alone knows it.
 * Owns:   a writer holds no text: every piece goes to its sink at once. A reader holds the token at
 *         hand when it is cut in two.
 * Memory: charged to the owner given; what a reader can grow to is bounded by its bytes_max.
 * Thread: whoever made it (a worker's memory is taken beforehand, so: the loop).
 * Errors: a reader's are ERR_MALFORMED, ERR_TOO_LARGE, and whatever its callback returns.
 */
#ifndef LARDER_CODEC_JSON_H
#define LARDER_CODEC_JSON_H

#include "base/bytes.h"

struct mem_owner;

/* ---- writing ---- */

struct json_writer;
typedef void json_sink(void *ctx, const char *data, size_t size);
enum json_style { JSON_COMPACT, JSON_INDENTED };

struct json_writer *json_writer_create(struct mem_owner *owner, enum json_style style,
                                       json_sink *sink, void *ctx);
void json_writer_destroy(struct json_writer *w); /* NULL is fine */

/* Calls in another order than the grammar's are a bug and asserted. A key of NULL is for elements
 * of an array and for the document itself. Text that is not UTF-8 has its bad bytes replaced by
 * U+FFFD. */
void json_object_begin(struct json_writer *w, const char *key);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w, const char *key);
void json_array_end(struct json_writer *w);
void json_put_text(struct json_writer *w, const char *key, const char *text); /* NULL: null */
void json_put_uint(struct json_writer *w, const char *key, uint64_t value);
void json_put_int(struct json_writer *w, const char *key, int64_t value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_null(struct json_writer *w, const char *key);
/* Nanoseconds (or whatever unit) as a decimal number of units: 1500000000, 9 -> 1.5 */
void json_put_decimal(struct json_writer *w, const char *key, int64_t value, unsigned decimals);

/* ---- reading ---- */

enum json_kind {
    JSON_NULL,
    JSON_BOOL,   /* flag */
    JSON_NUMBER, /* text, as it stands in the document */
    JSON_TEXT,   /* text: UTF-8, escapes resolved, may hold zeros */
    JSON_KEY,    /* text */
    JSON_OBJECT_BEGIN,
    JSON_OBJECT_END,
    JSON_ARRAY_BEGIN,
    JSON_ARRAY_END,
};
struct json_event {
    enum json_kind kind;
    bool flag;
    unsigned depth;    /* of objects and arrays around it; 0: the document */
    struct bytes text; /* borrowed until the callback returns */
};
/* Another result than ERR_OK ends the reading with it. */
typedef enum err json_event_cb(void *ctx, const struct json_event *ev, struct error *err);

struct json_reader;
struct json_reader_options {
    json_event_cb *cb;
    void *ctx;
    uint64_t bytes_max; /* of the document; it bounds memory, too */
};
/* At most LIMIT_JSON_DEPTH objects and arrays in each other. Exactly one document, no comments. */
struct json_reader *json_reader_create(struct mem_owner *owner,
                                       const struct json_reader_options *options);
void json_reader_destroy(struct json_reader *r); /* NULL is fine */
enum err json_reader_feed(struct json_reader *r, struct bytes piece, struct error *err);
enum err json_reader_finish(struct json_reader *r, struct error *err); /* is the document whole? */

/* A JSON_NUMBER as a whole number; ERR_MALFORMED when it is none or does not fit. */
enum err json_number_uint(struct bytes text, uint64_t *out, struct error *err);

#endif
