#include "unit.h"

#include <stdio.h>

#include "store/batches.h"

#define A32 "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"
#define B32 "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2"
#define OWNER20 "19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"
#define REST "\"depth\":24,\"bucket_depth\":16,\"immutable\":true}"
#define ROW(id) "{\"id\":\"" id "\",\"owner\":\"" OWNER20 "\"," REST

static struct mem_plan *plan;

static struct mem_owner *owner_begin(void)
{
    static const struct mem_row row = { "batches", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct error err = { ERR_OK, "" };
    check(!mem_plan_create(&plan, 256 * MiB, &row, 1, &err), err.text);
    return mem_plan_find(plan, "batches");
}

static enum err load(struct mem_owner *mem, uint32_t rows_max, struct bytes file, size_t piece,
                     struct batches **out, struct error *err)
{
    struct batches_loader *l;
    enum err rc = batches_loader_create(&l, mem, rows_max, err);
    if (rc)
        return rc;
    for (size_t at = 0; !rc && at < file.size; at += piece)
        rc = batches_loader_feed(l, bytes_of(file.data + at, MIN(piece, file.size - at)), err);
    if (!rc)
        rc = batches_loader_finish(l, out, err);
    batches_loader_destroy(l);
    return rc;
}

static struct bytes text_of(const char *text)
{
    return bytes_of(text, strlen(text));
}

TEST(a_table_is_loaded)
{
    static const char file[] =
        "[\n " ROW(A32) ",\n  {\"immutable\":false,\"bucket_depth\":0,"
                        "\"depth\":64,\"owner\":\"0x" OWNER20 "\",\"id\":\"0x" B32 "\"}\n]\n";
    struct mem_owner *mem = owner_begin();
    for (size_t piece = 1; piece < sizeof(file); piece += 7) {
        struct error err = { ERR_OK, "" };
        struct batches *b = NULL;
        uint8_t id[32];
        check(!load(mem, 10, text_of(file), piece, &b, &err), err.text);
        check(batches_count(b) == 2, "two rows");
        memset(id, 0xa1, sizeof(id));
        const struct batch *row = batches_find(b, id);
        check(batches_chunks(b) == (UINT64_C(1) << row->rules.depth) + (UINT64_C(1) << 63),
              "2^depth of each, as far as 64 bits go");
        check(row && row->rules.depth == 24 && row->rules.bucket_depth == 16 && row->immutable &&
                  row->row == 1 && row->rules.owner[0] == 0x19 && row->rules.owner[19] == 0x2a,
              "the first row");
        memset(id, 0xb2, sizeof(id));
        row = batches_find(b, id);
        check(row && row->rules.depth == 64 && row->rules.bucket_depth == 0 && !row->immutable,
              "0x");
        id[31] ^= 1;
        check(!batches_find(b, id), "another id");
        batches_destroy(b);
    }
    check(mem->used_bytes == 0, "all memory is given back");
    mem_plan_destroy(plan);
}

static const struct {
    const char *why, *file;
    enum err want;
    const char *says;
} files[] = {
    { "an empty table", "[]", ERR_OK, NULL },
    { "an empty file", "", ERR_MALFORMED, "line 1" },
    { "no array", "{}", ERR_MALFORMED, "not an array" },
    { "no rows", "[1]", ERR_MALFORMED, "not an object" },
    { "cut short", "[" ROW(A32), ERR_MALFORMED, "row 2" },
    { "twice the same", "[" ROW(A32) ",\n" ROW(A32) "]", ERR_MALFORMED,
      "line 2, row 2: batch a1a1a1a1a1a1... is in row 1" },
    { "an id that is short", "[" ROW("a1") "]", ERR_MALFORMED, "id: 1 bytes of hex" },
    { "an id that is long", "[" ROW(A32 "00") "]", ERR_TOO_LARGE, "id: " },
    { "an id that is no hex", "[" ROW("x") "]", ERR_MALFORMED, "id: " },
    { "an owner is needed", "[{\"id\":\"" A32 "\"," REST "]", ERR_MALFORMED, "owner is missing" },
    { "every member is", "[{}]", ERR_MALFORMED, "id is missing" },
    { "a member that is not known", "[\n\n{\"batchID\":1}]", ERR_MALFORMED,
      "line 3, row 1: 'batchID'" },
    { "a member there twice", "[{\"depth\":1,\"depth\":1}]", ERR_MALFORMED,
      "depth is there twice" },
    { "a depth as text", "[{\"depth\":\"24\"}]", ERR_MALFORMED, "depth is of another type" },
    { "a depth above 64", "[{\"depth\":65}]", ERR_MALFORMED, "65 is above 64" },
    { "a depth with a fraction", "[{\"depth\":1.5}]", ERR_MALFORMED, "depth: " },
    { "a bucket depth above 32", "[{\"bucket_depth\":33}]", ERR_MALFORMED, "33 is above 32" },
    { "an object as value", "[{\"owner\":{}}]", ERR_MALFORMED, "owner is of another type" },
    { "an array as value", "[{\"immutable\":[true]}]", ERR_MALFORMED,
      "immutable is of another type" },
    { "depths that do not fit",
      "[{\"id\":\"" A32 "\",\"owner\":\"" OWNER20
      "\",\"depth\":15,\"bucket_depth\":16,\"immutable\":true}]",
      ERR_MALFORMED, "depth 15 is below" },
};

TEST(what_a_file_may_hold)
{
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct mem_owner *mem = owner_begin();
        struct error err = { ERR_OK, "" };
        struct batches *b = NULL;
        check(load(mem, 10, text_of(files[i].file), 5, &b, &err) == files[i].want, files[i].why);
        check(!files[i].says || strstr(err.text, files[i].says), err.text);
        batches_destroy(b);
        check(mem->used_bytes == 0, "all memory is given back");
        mem_plan_destroy(plan);
    }
}

/* rows [first, last), ids that share their first bytes in groups of 300 */
static size_t many(char *out, size_t size, uint32_t first, uint32_t last)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (uint32_t i = first; i < last; i++)
        used += (size_t)snprintf(out + used, size - used,
                                 "%s{\"id\":\"%08x%08x%048x\",\"owner\":\"" OWNER20 "\"," REST "\n",
                                 i > first ? "," : "", i / 300, i, i);
    return used + (size_t)snprintf(out + used, size - used, "]");
}

static void id_of(uint8_t id[32], uint32_t i)
{
    memset(id, 0, 32);
    be32_encode(id, i / 300);
    be32_encode(id + 4, i);
    be32_encode(id + 28, i);
}

TEST(vanished_batches_are_found)
{
    static char text[600000];
    struct mem_owner *mem = owner_begin();
    struct error err = { ERR_OK, "" };
    struct batches *before, *after;
    uint8_t id[32];
    check(!load(mem, 3000, bytes_of(text, many(text, sizeof(text), 0, 2000)), 4096, &before, &err),
          err.text);
    check(!load(mem, 3000, bytes_of(text, many(text, sizeof(text), 700, 3000)), 4096, &after, &err),
          err.text);
    for (uint32_t i = 0; i < 4000; i++) {
        id_of(id, i);
        check((batches_find(before, id) != NULL) == (i < 2000), "in the first table");
        check((batches_find(after, id) != NULL) == (i >= 700 && i < 3000), "in the second");
    }
    uint32_t cursor = 0, gone = 0;
    for (const struct batch *b; (b = batches_next_vanished(before, after, &cursor)); gone++)
        check(be32_decode(b->id + 4) == gone, "those that are not there any more");
    check(gone == 700, "all of them");
    for (cursor = gone = 0; batches_next_vanished(before, NULL, &cursor); gone++)
        ;
    check(gone == 2000, "without a table all are gone");
    for (cursor = gone = 0; batches_next_vanished(before, before, &cursor); gone++)
        ;
    check(gone == 0, "nothing changed");
    batches_destroy(before);
    batches_destroy(after);
    mem_plan_destroy(plan);
}

TEST(a_table_has_limits)
{
    static char text[600000];
    struct mem_owner *mem = owner_begin();
    struct error err = { ERR_OK, "" };
    struct batches *b = NULL;
    struct bytes file = bytes_of(text, many(text, sizeof(text), 0, 200));
    check(load(mem, 199, file, 4096, &b, &err) == ERR_LIMIT, "one row too many");
    check(strstr(err.text, "row 200: more than 199"), err.text);
    check(limit_hits(LIMIT_ID_BATCHES) == 1, "and counted");
    /* Each allocation refused in turn: an error and nothing left behind. */
    enum err rc = ERR_BUDGET;
    unsigned refused = 0;
    for (uint64_t n = 1; rc != ERR_OK && n < 100; n++) {
        struct error why = { ERR_OK, "" };
        mem_fault_at(n);
        rc = load(mem, 3000, file, 4096, &b, &why);
        mem_fault_at(0);
        check(rc == ERR_OK || rc == ERR_BUDGET, why.text);
        refused += rc != ERR_OK;
        check(rc == ERR_OK || mem->used_bytes == 0, "all memory is given back");
    }
    check(rc == ERR_OK && refused > 3 && batches_count(b) == 200, "then it is loaded");
    batches_destroy(b);
    mem_plan_destroy(plan);
}
