#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "codec/keytext.h"

/* One multihash in every form in which people write it, and what is none. */
static const struct {
    const char *why, *text;
    enum err want;
} cases[] = {
    { "version 0", "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", ERR_OK },
    { "version 1 raw", "bafkreiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354", ERR_OK },
    { "hex", "122059948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bbef", ERR_OK },
    { "multibase", "f122059948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bbef",
      ERR_OK },
    { "cut short", "122059948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bb",
      ERR_MALFORMED },
    { "no key at all", "hello", ERR_MALFORMED },
    { "nothing", "", ERR_MALFORMED },
};

TEST(a_key_is_read_in_every_form)
{
    uint8_t buf[CID_BYTES_MAX], first[CID_BYTES_MAX];
    struct bytes hash;
    char text[CID_TEXT_MAX];
    size_t size = 0;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum err rc = key_from_text(cases[i].text, strlen(cases[i].text), buf, &hash, NULL);
        check(rc == cases[i].want, cases[i].why);
        if (rc)
            continue;
        if (size == 0)
            memcpy(first, hash.data, size = hash.size);
        check(bytes_equal(hash, bytes_of(first, size)), "the same multihash");
        check(!strcmp(key_to_text(hash, text), cases[1].text), "written as version 1");
    }
}

TEST(a_multihash_that_servers_refuse_is_refused)
{
    uint8_t hash[2 + 100] = { 0x00, 100 }, buf[CID_BYTES_MAX];
    char text[300];
    struct bytes out;
    for (int i = 0; i < 102; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    check(key_from_text(text, 204, buf, &out, NULL) == ERR_TOO_LARGE, "102 bytes");
    memcpy(text, "004e", 4);
    check(key_from_text(text, 160, buf, &out, NULL) == ERR_OK && out.size == 80, "80 are fine");
}
