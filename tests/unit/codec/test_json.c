/* JSON written, and read in pieces of every size. */
#include "unit.h"

#include <stdio.h>

#include "base/mem.h"
#include "codec/json.h"

static const struct mem_row row = { "json", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
static struct mem_plan *plan;
static struct mem_owner *owner;

static void plan_begin(void)
{
    check(mem_plan_create(&plan, 256 * MiB, &row, 1, NULL) == ERR_OK, "a plan");
    owner = mem_plan_find(plan, "json");
}

static void plan_end(void)
{
    check(owner->used_bytes == 0, "everything was given back");
    mem_plan_destroy(plan);
}

static char text[4096];
static size_t used;
static void to_text(void *ctx UNUSED, const char *data, size_t size)
{
    check(used + size < sizeof(text), "it fits");
    memcpy(text + used, data, size);
    text[used += size] = '\0';
}

TEST(a_document_is_written)
{
    plan_begin();
    used = 0;
    struct json_writer *w = json_writer_create(owner, JSON_COMPACT, to_text, NULL);
    json_object_begin(w, NULL);
    json_put_text(w, "text", "a \"b\"\\\n\x01");
    json_put_text(w, "broken",
                  "a\xff\xc3(\xed\xa0\x80\xc0\xaf\xf4\x90\x80\x80"
                  "b\xe2\x82\xac");
    json_put_uint(w, "most", UINT64_MAX);
    json_put_int(w, "least", INT64_MIN);
    json_put_decimal(w, "half", -1500000000, 9);
    json_put_decimal(w, "small", 1, 9);
    json_put_decimal(w, "whole", 2000000000, 9);
    json_array_begin(w, "list");
    json_put_bool(w, NULL, true);
    json_put_null(w, NULL);
    json_put_text(w, NULL, NULL);
    json_array_end(w);
    json_object_begin(w, "empty");
    json_object_end(w);
    json_object_end(w);
    json_writer_destroy(w);
    static const char want[] =
        "{\"text\":\"a \\\"b\\\"\\\\\\n\\u0001\",\"broken\":\"a\xef\xbf\xbd\xef\xbf\xbd("
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
        "\xef\xbf\xbd\xef\xbf\xbd"
        "b\xe2\x82\xac\",\"most\":18446744073709551615,"
        "\"least\":-9223372036854775808,\"half\":-1.5,\"small\":0.000000001,\"whole\":2,"
        "\"list\":[true,null,null],\"empty\":{}}";
    check(strcmp(text, want) == 0, text);
    plan_end();
}

/* What the reader saw, as one line: kind and depth of each event. */
static enum err to_trace(void *ctx, const struct json_event *ev, struct error *err)
{
    static const char kinds[] = "nb#sk{}[]";
    char *trace = ctx;
    size_t n = strlen(trace);
    if (ev->kind == JSON_TEXT && bytes_equal(ev->text, bytes_of("stop", 4)))
        return error_set(err, ERR_REFUSED, "stopped");
    snprintf(trace + n, 1024 - n, "%c%u%.*s ", kinds[ev->kind], ev->depth, (int)ev->text.size,
             ev->text.size ? (const char *)ev->text.data : "");
    return ERR_OK;
}

#define DEEP_32 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
static const struct {
    const char *why, *json, *trace;
    enum err want;
} cases[] = {
    { "an object", "{\"a\":[1,-2.5e3,true,null],\"b\":{}}",
      "{0 k1a [1 #21 #2-2.5e3 b2 n2 ]1 k1b {1 }1 }0 ", ERR_OK },
    { "escapes", "\"a\\u20ac\\n\"", "s0a\xe2\x82\xac\n ", ERR_OK },
    { "a bare number", " 18446744073709551615 ", "#018446744073709551615 ", ERR_OK },
    { "cut short", "{\"a\":[1", NULL, ERR_MALFORMED },
    { "nothing", "  ", NULL, ERR_MALFORMED },
    { "two documents", "{} {}", NULL, ERR_MALFORMED },
    { "trailing garbage", "{}x", NULL, ERR_MALFORMED },
    { "a trailing comma", "[1,]", NULL, ERR_MALFORMED },
    { "a comment", "/* */ 1", NULL, ERR_MALFORMED },
    { "not UTF-8", "\"\xff\"", NULL, ERR_MALFORMED },
    { "the callback stops it", "[\"stop\"]", NULL, ERR_REFUSED },
    { "a key without value", "{\"a\"}", NULL, ERR_MALFORMED },
    { "one too deep", DEEP_32 DEEP_32 "[", NULL, ERR_TOO_LARGE },
};

static enum err read_in_pieces(const char *json, size_t piece, uint64_t bytes_max, char *trace)
{
    enum err rc = ERR_OK;
    size_t size = strlen(json);
    trace[0] = '\0';
    struct json_reader *r =
        json_reader_create(owner, &(struct json_reader_options){ to_trace, trace, bytes_max });
    for (size_t i = 0; i < size && rc == ERR_OK; i += piece)
        rc = json_reader_feed(r, bytes_of(json + i, MIN(piece, size - i)), NULL);
    struct error err = { 0 };
    enum err end = json_reader_finish(r, &err);
    check(rc == ERR_OK || end == rc, "a failure stays");
    check(end == ERR_OK || err.text[0], "and says something");
    json_reader_destroy(r);
    return end;
}

TEST(documents_are_read_in_any_pieces)
{
    plan_begin();
    char trace[1024];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t piece = 1; piece <= strlen(cases[i].json); piece++) {
            check(read_in_pieces(cases[i].json, piece, 1000, trace) == cases[i].want, cases[i].why);
            check(!cases[i].trace || strcmp(trace, cases[i].trace) == 0, trace);
        }
    check(read_in_pieces("[1,2,3]", 1, 6, trace) == ERR_TOO_LARGE, "a document has its limit");
    plan_end();
}

static const struct {
    const char *text;
    enum err want;
    uint64_t value;
} numbers[] = {
    { "0", ERR_OK, 0 },
    { "18446744073709551615", ERR_OK, UINT64_MAX },
    { "18446744073709551616", ERR_MALFORMED, 0 },
    { "-1", ERR_MALFORMED, 0 },
    { "1.0", ERR_MALFORMED, 0 },
    { "1e3", ERR_MALFORMED, 0 },
    { "", ERR_MALFORMED, 0 },
};

TEST(whole_numbers)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uint64_t value = 0;
        struct bytes b = bytes_of(numbers[i].text, strlen(numbers[i].text));
        check(json_number_uint(b, &value, NULL) == numbers[i].want, numbers[i].text);
        check(value == numbers[i].value, numbers[i].text);
    }
}
