/* Status documents as pages. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/status_page.h"

static const struct mem_row row = { "status", "refused", MEM_ELASTIC, 1 * MiB, 50, 50, true };
static struct mem_plan *plan;

static const char document[] =
    "{\"version\":\"0.1.0\",\"pid\":7,\"uptime_seconds\":93784.5,\"state\":\"waiting\","
    "\"not_ready\":[{\"name\":\"stores\",\"state\":\"waiting\",\"why\":\"opening\"}],"
    "\"memory\":{\"setting_bytes\":1073741824,\"held_bytes\":268435456,\"level\":1,\"owners\":["
    "{\"name\":\"alpha\",\"used_bytes\":536870912,\"peak_bytes\":1,\"share_bytes\":2,"
    "\"ceiling_bytes\":3,\"waiting\":4},"
    "{\"name\":\"beta\",\"used_bytes\":1,\"peak_bytes\":1,\"share_bytes\":2,\"ceiling_bytes\":3,"
    "\"waiting\":0}]},"
    "\"disk\":{\"path\":\"/data\",\"size_bytes\":1000,\"free_bytes\":250,\"min_free_bytes\":10},"
    "\"loop\":{\"callbacks\":10,\"slow\":1,\"busy_seconds\":0.002,\"slowest_seconds\":0.0015,"
    "\"slowest\":\"http\"},"
    "\"stores\":{\"total\":2,\"list\":[{\"name\":\"reserve\",\"size_bytes\":1048576},"
    "{\"name\":\"state\",\"size_bytes\":0}],\"after\":true},"
    "\"host\":{\"addresses\":[\"/ip4/192.0.2.1/tcp/1/p2p/"
    "12D3KooWBSdjYxrUnEV534YCgNMFqpzsfX2jfjN3HXwWoBEw6o83\",\"/ip6/::1/tcp/2\"],\"peers\":0},"
    "\"pull\":{\"refused\":{\"bad_stamp\":2},\"peers\":[{\"overlay\":\"ab\",\"bins\":["
    "{\"bin\":0,\"phase\":\"live\"},{\"bin\":1,\"phase\":\"old\",\"missing\":5}]},"
    "{\"overlay\":\"cd\",\"bins\":[]}]},"
    "\"odd\":{\"long_seconds\":1e300,\"back_seconds\":-0.25},\"evil\":{\"text\":\"a\\u001b["
    "2Jb\\u009bc\"}}";

static const char *const want[] = {
    "larder 0.1.0, pid 7, up 1 d 2 h: waiting\n",
    "  stores is waiting: opening\n",
    "  256 MiB held of 1.00 GiB, shrinking\n  [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab....",
    "  alpha           512 MiB        1 B        2 B        3 B        4\n",
    "  /data: 250 B free of 1000 B; writes are refused below 10 B\n  "
    "[######################################################....",
    "  10 callbacks, 1 of them slow; busy 2.00 ms\n  slowest 1.50 ms (http)\n",
    "\nstores\n  total                2\n  name                 size\n"
    "  reserve          1.00 MiB\n  state                 0 B\n  after                yes\n",
    "  addresses            "
    "/ip4/192.0.2.1/tcp/1/p2p/12D3KooWBSdjYxrUnEV534YCgNMFqpzsfX2jfjN3HXwWoBEw6o83\n"
    "                       /ip6/::1/tcp/2\n  peers                0\n",
    "\npull\n  refused bad stamp    2\n  overlay              ab\n"
    "  bin                 phase      missing\n  0                    live            -\n"
    "  1                     old            5\n  overlay              cd\n",
    "  long                 1e+300 s\n  back                 -0.25 s\n",
    "  text                 a?[2Jb?c\n",
};

static const char *print(const char *json, bool colours)
{
    static char text[8192];
    struct status_page *page = NULL;
    struct error err = { 0 };
    memset(text, 0, sizeof(text));
    FILE *f = fmemopen(text, sizeof(text) - 1, "w");
    check(status_page_parse(&page, plan->owners, bytes_of(json, strlen(json)), &err) == ERR_OK,
          err.text);
    status_page_print(page, f, colours);
    status_page_destroy(page);
    fclose(f);
    return text;
}

TEST(a_page_is_printed)
{
    check(mem_plan_create(&plan, 64 * MiB, &row, 1, NULL) == ERR_OK, "a plan");
    const char *page = print(document, false);
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        check(strstr(page, want[i]) != NULL, want[i]);
    check(!strchr(page, '\033'), "no colours, and nothing that steers a terminal");
    check(strstr(print(document, true), "\033[31ma\033[0m") != NULL, "colours when wanted");
    print("{}", false);
    print("[[1,[2]],{\"a\":{\"b\":[{}]}}]", false); /* not a status, but harmless */
    mem_plan_destroy(plan);
}

TEST(what_is_no_document_is_refused)
{
    check(mem_plan_create(&plan, 64 * MiB, &row, 1, NULL) == ERR_OK, "a plan");
    static char many[LIMIT_STATUS_VALUES * 2 + 8], name[400], large[LIMIT_STATUS_BYTES + 8];
    size_t n = 0;
    many[n++] = '[';
    while (n < LIMIT_STATUS_VALUES * 2 + 1) {
        many[n++] = '1';
        many[n++] = ',';
    }
    memcpy(many + n, "1]", 2);
    memset(large, ' ', sizeof(large) - 1);
    snprintf(name, sizeof(name), "{\"%0200d\":1}", 0);
    const char *const bad[] = { "", "{", "larder", many, name, large };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct status_page *page = NULL;
        struct bytes b = bytes_of(bad[i], strlen(bad[i]));
        enum err rc = status_page_parse(&page, plan->owners, b, NULL);
        check(rc == (i < 3 ? ERR_MALFORMED : ERR_TOO_LARGE), bad[i]);
        check(!page && plan->used_bytes == 0, "nothing is left");
    }
    mem_plan_destroy(plan);
}
