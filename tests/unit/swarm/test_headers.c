#include "unit.h"

#include "swarm/headers.h"
#include "vectors.h"

static const struct {
    const char *why, *hex;
    enum err want;
} cases[] = {
    { "none", "", ERR_OK },
    { "one", "0a070a016112020102", ERR_OK },
    { "two, the second without a value", "0a070a0161120201020a030a0162", ERR_OK },
    { "a field we do not know", "0a070a0161120201021a0101", ERR_OK },
    { "a header cut short", "0a070a0161", ERR_MALFORMED },
    { "a key cut short within its header", "0a030a0261", ERR_MALFORMED },
    { "a number where headers are", "0801", ERR_MALFORMED },
    { "a number where a key is", "0a020801", ERR_MALFORMED },
    { "a number where a value is", "0a021001", ERR_MALFORMED },
};

static size_t hex_bytes(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        for (size_t k = 0; k < 2; k++) {
            char c = hex[2 * i + k];
            v = v * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        out[i] = (uint8_t)v;
    }
    return n;
}

TEST(headers_of_peers)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t raw[64];
        struct error err = { ERR_OK, "" };
        size_t size = hex_bytes(cases[i].hex, raw);
        check(headers_check(bytes_of(raw, size), &err) == cases[i].want, cases[i].why);
        check(!cases[i].want == !err.text[0], "a refusal has a sentence");
    }
}

TEST(ours_are_those_of_bee)
{
    yajl_val v = vector_at(vector_get(vectors_load("swarm-vectors.json"), "messages_delimited"), 0);
    uint8_t raw[16];
    check(!strcmp(vector_text(v, "name"), "headers, none"), "the first vector");
    size_t size = vector_hex(v, "delimited", raw, sizeof(raw));
    check(bytes_equal(bytes_of(raw, size), bytes_of(headers_none, sizeof(headers_none))), "00");
}
