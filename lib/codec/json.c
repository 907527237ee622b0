#include "codec/json.h"

#include <stdio.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

#include "base/mem.h"

/* yajl does not look whether it got memory, so what it takes is charged and never refused; that it
 * cannot take much is seen to by bytes_max and by the depth. mem_free knows a block's size, a
 * growing block does not, so it stands before it. */
struct block {
    size_t size;
    char data[] __attribute__((aligned(16)));
};

static void *block_take(void *owner, size_t size)
{
    struct block *b = mem_zalloc(owner, sizeof(*b) + size);
    b->size = size;
    return b->data;
}

static void block_give(void *owner, void *data)
{
    if (data)
        mem_free(owner, container_of(data, struct block, data));
}

static void *block_grow(void *owner, void *old, size_t size)
{
    void *data = block_take(owner, size);
    if (old)
        memcpy(data, old, MIN(size, container_of(old, struct block, data)->size));
    block_give(owner, old);
    return data;
}

static yajl_alloc_funcs alloc_of(struct mem_owner *owner)
{
    return (yajl_alloc_funcs){ block_take, block_grow, block_give, owner };
}

/* ---- writing ---- */

struct json_writer {
    struct mem_owner *owner;
    yajl_gen gen;
};

struct json_writer *json_writer_create(struct mem_owner *owner, enum json_style style,
                                       json_sink *sink, void *ctx)
{
    struct json_writer *w = mem_zalloc(owner, sizeof(*w));
    yajl_alloc_funcs alloc = alloc_of(owner);
    w->owner = owner;
    w->gen = yajl_gen_alloc(&alloc);
    yajl_gen_config(w->gen, yajl_gen_print_callback, (yajl_print_t)sink, ctx);
    yajl_gen_config(w->gen, yajl_gen_beautify, style == JSON_INDENTED);
    yajl_gen_config(w->gen, yajl_gen_indent_string, "  ");
    return w;
}

void json_writer_destroy(struct json_writer *w)
{
    if (!w)
        return;
    yajl_gen_free(w->gen);
    mem_free(w->owner, w);
}

static void must(yajl_gen_status status)
{
    assert(status == yajl_gen_status_ok); /* else the caller broke the grammar */
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none; p ends with a zero. */
static size_t utf8_size(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
    bool above = p[0] == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || above ? 0 : n;
}

static void put_string(struct json_writer *w, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t size = 0, bad = 0, n;
    for (; p[size]; size += n) {
        n = utf8_size(p + size);
        bad += n == 0;
        n = MAX(n, 1);
    }
    if (bad == 0) {
        must(yajl_gen_string(w->gen, p, size));
        return;
    }
    unsigned char *clean = mem_zalloc(w->owner, size + 2 * bad + 1);
    size_t used = 0;
    for (; *p; p += n) {
        n = utf8_size(p);
        memcpy(clean + used, n > 0 ? p : (const unsigned char *)"\xef\xbf\xbd", n > 0 ? n : 3);
        used += n > 0 ? n : 3;
        n = MAX(n, 1);
    }
    must(yajl_gen_string(w->gen, clean, used));
    mem_free(w->owner, clean);
}

static void put_key(struct json_writer *w, const char *key)
{
    if (key)
        put_string(w, key);
}

void json_object_begin(struct json_writer *w, const char *key)
{
    put_key(w, key);
    must(yajl_gen_map_open(w->gen));
}

void json_object_end(struct json_writer *w)
{
    must(yajl_gen_map_close(w->gen));
}

void json_array_begin(struct json_writer *w, const char *key)
{
    put_key(w, key);
    must(yajl_gen_array_open(w->gen));
}

void json_array_end(struct json_writer *w)
{
    must(yajl_gen_array_close(w->gen));
}

void json_put_text(struct json_writer *w, const char *key, const char *text)
{
    if (!text) {
        json_put_null(w, key);
        return;
    }
    put_key(w, key);
    put_string(w, text);
}

void json_put_uint(struct json_writer *w, const char *key, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRIu64, value);
    put_key(w, key);
    must(yajl_gen_number(w->gen, text, (size_t)n));
}

void json_put_int(struct json_writer *w, const char *key, int64_t value)
{
    put_key(w, key);
    must(yajl_gen_integer(w->gen, value));
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
    put_key(w, key);
    must(yajl_gen_bool(w->gen, value));
}

void json_put_null(struct json_writer *w, const char *key)
{
    put_key(w, key);
    must(yajl_gen_null(w->gen));
}

void json_put_decimal(struct json_writer *w, const char *key, int64_t value, unsigned decimals)
{
    assert(decimals <= 18);
    uint64_t unit = 1, size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    uint64_t rest = size % unit;
    while (rest > 0 && rest % 10 == 0) {
        rest /= 10;
        decimals--;
    }
    char text[48];
    int n = snprintf(text, sizeof(text), rest ? "%s%" PRIu64 ".%0*" PRIu64 : "%s%" PRIu64,
                     value < 0 ? "-" : "", size / unit, (int)decimals, rest);
    put_key(w, key);
    must(yajl_gen_number(w->gen, text, (size_t)n));
}

/* ---- reading ---- */

struct json_reader {
    struct mem_owner *owner;
    struct json_reader_options options;
    yajl_handle parser;
    unsigned depth;
    uint64_t fed_bytes;
    bool whole; /* the document's last token has been seen */
    struct error failed;
};

static int emit(struct json_reader *r, struct json_event ev)
{
    ev.depth = r->depth;
    r->whole = r->depth == 0 && ev.kind != JSON_OBJECT_BEGIN && ev.kind != JSON_ARRAY_BEGIN;
    enum err code = r->options.cb(r->options.ctx, &ev, &r->failed);
    r->failed.code = code; /* a callback may set a code and no text */
    return code == ERR_OK;
}

static int on_null(void *ctx)
{
    return emit(ctx, (struct json_event){ .kind = JSON_NULL });
}

static int on_bool(void *ctx, int value)
{
    return emit(ctx, (struct json_event){ .kind = JSON_BOOL, .flag = value != 0 });
}

static int on_number(void *ctx, const char *text, size_t size)
{
    return emit(ctx, (struct json_event){ .kind = JSON_NUMBER, .text = bytes_of(text, size) });
}

static int on_string(void *ctx, const unsigned char *text, size_t size)
{
    return emit(ctx, (struct json_event){ .kind = JSON_TEXT, .text = bytes_of(text, size) });
}

static int on_key(void *ctx, const unsigned char *text, size_t size)
{
    return emit(ctx, (struct json_event){ .kind = JSON_KEY, .text = bytes_of(text, size) });
}

static int begin(struct json_reader *r, enum json_kind kind)
{
    if (!LIMIT_CHECK(JSON_DEPTH, r->depth + 1))
        return error_set(&r->failed, ERR_TOO_LARGE, "JSON deeper than %u", LIMIT_JSON_DEPTH), 0;
    if (!emit(r, (struct json_event){ .kind = kind }))
        return 0;
    r->depth++;
    return 1;
}

static int end(struct json_reader *r, enum json_kind kind)
{
    assert(r->depth > 0);
    r->depth--;
    return emit(r, (struct json_event){ .kind = kind });
}

static int on_object_begin(void *ctx)
{
    return begin(ctx, JSON_OBJECT_BEGIN);
}

static int on_object_end(void *ctx)
{
    return end(ctx, JSON_OBJECT_END);
}

static int on_array_begin(void *ctx)
{
    return begin(ctx, JSON_ARRAY_BEGIN);
}

static int on_array_end(void *ctx)
{
    return end(ctx, JSON_ARRAY_END);
}

struct json_reader *json_reader_create(struct mem_owner *owner,
                                       const struct json_reader_options *options)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_bool,
        .yajl_number = on_number, /* as text: a double holds no 64 bits */
        .yajl_string = on_string,
        .yajl_start_map = on_object_begin,
        .yajl_map_key = on_key,
        .yajl_end_map = on_object_end,
        .yajl_start_array = on_array_begin,
        .yajl_end_array = on_array_end,
    };
    assert(options->cb && options->bytes_max > 0);
    struct json_reader *r = mem_zalloc(owner, sizeof(*r));
    yajl_alloc_funcs alloc = alloc_of(owner);
    r->owner = owner;
    r->options = *options;
    r->parser = yajl_alloc(&callbacks, &alloc, r);
    return r;
}

void json_reader_destroy(struct json_reader *r)
{
    if (!r)
        return;
    yajl_free(r->parser);
    mem_free(r->owner, r);
}

static int parse_failed(struct json_reader *r, yajl_status status, struct error *err)
{
    if (status == yajl_status_error) {
        char *text = (char *)yajl_get_error(r->parser, 0, NULL, 0);
        error_set(&r->failed, ERR_MALFORMED, "JSON: %.*s", (int)strcspn(text, "\n"), text);
        yajl_free_error(r->parser, (unsigned char *)text);
    }
    return error_set(err, r->failed.code, "%s",
                     r->failed.text[0] ? r->failed.text : err_text(r->failed.code));
}

enum err json_reader_feed(struct json_reader *r, struct bytes piece, struct error *err)
{
    if (r->failed.code)
        return error_set(err, r->failed.code, "%s", r->failed.text);
    r->fed_bytes += piece.size;
    if (r->fed_bytes > r->options.bytes_max)
        return error_set(&r->failed, ERR_TOO_LARGE, "JSON longer than %" PRIu64 " bytes",
                         r->options.bytes_max),
               error_set(err, ERR_TOO_LARGE, "%s", r->failed.text);
    yajl_status status = yajl_parse(r->parser, piece.data, piece.size);
    return status == yajl_status_ok ? ERR_OK : parse_failed(r, status, err);
}

enum err json_reader_finish(struct json_reader *r, struct error *err)
{
    if (r->failed.code)
        return error_set(err, r->failed.code, "%s", r->failed.text);
    yajl_status status = yajl_complete_parse(r->parser);
    if (status != yajl_status_ok)
        return parse_failed(r, status, err);
    return r->whole ? ERR_OK : error_set(err, ERR_MALFORMED, "JSON: cut short");
}

enum err json_number_uint(struct bytes text, uint64_t *out, struct error *err)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return error_set(err, ERR_MALFORMED, "'%.*s' is not a whole number below 2^64",
                             (int)MIN(text.size, 64), (const char *)text.data);
    }
    if (text.size == 0)
        return error_set(err, ERR_MALFORMED, "an empty number");
    *out = value;
    return ERR_OK;
}
