#include "unit.h"

#include <stdio.h>

#include "store/batches.h"
#include "store/validate.h"
#include "vectors.h"

static struct mem_plan *plan;

static yajl_val vectors(const char *key)
{
    return vector_get(vectors_load("swarm-vectors.json"), key);
}

static void signer_init(struct sig_signer *s, uint8_t first)
{
    uint8_t secret[SIG_SECRET_BYTES];
    struct error err = { ERR_OK, "" };
    memset(secret, 0x11, sizeof(secret)); /* the key of the vectors */
    secret[0] = first;
    check(!sig_signer_init(s, secret, secret, &err), err.text);
}

/* One batch, b1b1..., of the vectors' owner. */
static struct batches *one_batch(unsigned depth)
{
    static const struct mem_row row = { "batches", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct error err = { ERR_OK, "" };
    struct batches_loader *l;
    struct batches *b;
    char text[512];
    int size = snprintf(text, sizeof(text),
                        "[{\"id\":\"%s\",\"owner\":\"%s\",\"depth\":%u,\"bucket_depth\":16,"
                        "\"immutable\":false}]",
                        vector_text(vectors("stamp"), "batch_id"),
                        vector_text(vectors("stamp"), "recovered_owner"), depth);
    check(!mem_plan_create(&plan, 256 * MiB, &row, 1, &err), err.text);
    check(!batches_loader_create(&l, mem_plan_find(plan, "batches"), 10, &err), err.text);
    check(!batches_loader_feed(l, bytes_of(text, (size_t)size), &err), err.text);
    check(!batches_loader_finish(l, &b, &err), err.text);
    batches_loader_destroy(l);
    return b;
}

struct fixture {
    uint8_t address[32], data[LIMIT_CHUNK_BYTES], raw[STAMP_BYTES];
    size_t size;
    struct stamp stamp;
};

static void fixture_stamp(struct fixture *f, const struct sig_signer *s)
{
    f->stamp =
        (struct stamp){ .bucket = stamp_bucket(f->address, 16), .position = 5, .timestamp = 7 };
    memset(f->stamp.batch, 0xb1, sizeof(f->stamp.batch));
    stamp_sign(&f->stamp, s, f->address);
}

static void fixture_content(struct fixture *f, const struct sig_signer *s)
{
    memcpy(f->data, "\5\0\0\0\0\0\0\0hello", 13);
    f->size = 13;
    check(!chunk_content_address(f->address, bytes_of(f->data, f->size), NULL), "address");
    fixture_stamp(f, s);
}

static void fixture_soc(struct fixture *f, const struct sig_signer *s)
{
    f->size = vector_hex(vectors("soc"), "data", f->data, sizeof(f->data));
    check(vector_hex(vectors("soc"), "address", f->address, 32) == 32, "address");
    fixture_stamp(f, s);
}

static struct validate_item item_of(struct fixture *f)
{
    stamp_encode(&f->stamp, f->raw);
    return (struct validate_item){ .address = f->address,
                                   .data = bytes_of(f->data, f->size),
                                   .raw = bytes_of(f->raw, STAMP_BYTES),
                                   .code = ERR_IO };
}

enum change {
    NOTHING,
    SIGNER,
    BATCH,
    BUCKET,
    POSITION,
    SIGNATURE,
    DATA,
    DATA_SHORT,
    STAMP_SHORT,
    ADDRESS
};
static const struct {
    const char *why;
    enum change change;
    enum err strict, accept_all;
} cases[] = {
    { "a good one", NOTHING, ERR_OK, ERR_OK },
    { "another signer", SIGNER, ERR_BAD_PROOF, ERR_OK },
    { "a batch that is not known", BATCH, ERR_REFUSED, ERR_OK },
    { "another bucket", BUCKET, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "a position behind the bucket's end", POSITION, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "no signature", SIGNATURE, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "changed data", DATA, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "data without a span", DATA_SHORT, ERR_MALFORMED, ERR_MALFORMED },
    { "112 bytes of stamp", STAMP_SHORT, ERR_MALFORMED, ERR_MALFORMED },
    { "another address in the same bucket", ADDRESS, ERR_BAD_PROOF, ERR_BAD_PROOF },
};

static struct validate_item changed(struct fixture *f, enum change change,
                                    const struct sig_signer *right, const struct sig_signer *wrong)
{
    const struct sig_signer *signer = change == SIGNER ? wrong : right;
    if (change == BATCH)
        f->stamp.batch[31] ^= 1;
    if (change == BUCKET)
        f->stamp.bucket ^= 1;
    if (change == POSITION)
        f->stamp.position = 256;
    stamp_sign(&f->stamp, signer, f->address); /* so that only the check in question can object */
    if (change == SIGNATURE)
        memset(f->stamp.signature, 0, sizeof(f->stamp.signature));
    if (change == ADDRESS) {
        f->address[31] ^= 1;
        stamp_sign(&f->stamp, signer, f->address);
    }
    if (change == DATA)
        f->data[f->size - 1] ^= 1;
    struct validate_item item = item_of(f);
    if (change == DATA_SHORT)
        item.data.size = 7;
    if (change == STAMP_SHORT)
        item.raw.size--;
    return item;
}

TEST(every_rule_refuses_alone)
{
    struct batches *b = one_batch(24);
    struct sig_signer right, wrong;
    signer_init(&right, 0x11);
    signer_init(&wrong, 0x22);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int soc = 0; soc < 2; soc++) {
            struct fixture f;
            if (soc)
                fixture_soc(&f, &right);
            else
                fixture_content(&f, &right);
            struct validate_item item = changed(&f, cases[i].change, &right, &wrong);
            struct validate_page p = { .batches = b, .items = &item, .count = 1 };
            validate_page(&p);
            check(item.code == cases[i].strict, cases[i].why);
            check(p.refused == (item.code != ERR_OK) && !p.refused == !p.first.text[0],
                  p.first.text);
            check(item.code || item.kind == (soc ? CHUNK_SINGLE_OWNER : CHUNK_CONTENT), "kind");
            p.accept_all_stamps = true;
            validate_page(&p);
            check(item.code == cases[i].accept_all, cases[i].why);
        }
    }
    batches_destroy(b);
    mem_plan_destroy(plan);
}

TEST(a_page_keeps_what_is_good)
{
    struct batches *b = one_batch(24);
    struct sig_signer right;
    struct fixture f[3];
    struct validate_item items[3];
    uint8_t want[32];
    signer_init(&right, 0x11);
    for (size_t i = 0; i < ARRAY_SIZE(f); i++) {
        fixture_content(&f[i], &right);
        f[i].data[8] ^= i == 1;
        items[i] = item_of(&f[i]);
    }
    struct validate_page p = { .batches = b, .items = items, .count = 3 };
    validate_page(&p);
    check(!items[0].code && items[1].code == ERR_BAD_PROOF && !items[2].code, "only the second");
    check(p.refused == 1 && p.first.code == ERR_BAD_PROOF, "why is said");
    stamp_hash(want, f[2].raw);
    check(!memcmp(items[2].hash, want, 32) && items[2].stamp.position == 5, "what a put needs");
    batches_destroy(b);
    mem_plan_destroy(plan);
}

enum { TOGETHER = 60 };
static struct fixture many[TOGETHER];
static struct validate_item checked[TOGETHER];

static void page_of(struct validate_item *out, const struct sig_signer *signer, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fixture_content(&many[i], signer);
        bool full = i % 3 > 0;
        many[i].size = full ? LIMIT_CHUNK_CONTENT_BYTES : 13;
        memset(many[i].data + 8, (int)i, many[i].size - 8);
        struct bytes data = bytes_of(many[i].data, many[i].size);
        check(!chunk_content_address(many[i].address, data, NULL), "address");
        fixture_stamp(&many[i], signer);
        out[i] = item_of(&many[i]);
    }
}

/* Whatever is spoiled: each item ends as it would alone, and so does the page. */
TEST(checked_together_or_alone_the_answers_are_the_same)
{
    static const struct {
        const char *why;
        uint32_t from, to; /* which are spoiled */
        enum change change;
        uint32_t count;
    } pages[] = {
        { "none", 0, 0, NOTHING, TOGETHER },
        { "few", 0, 0, NOTHING, 8 },
        { "the first one's signer", 0, 1, SIGNER, TOGETHER },
        { "all signers", 0, TOGETHER, SIGNER, TOGETHER },
        { "one signer", 41, 42, SIGNER, TOGETHER },
        { "no signatures", 30, 35, SIGNATURE, TOGETHER },
        { "data, of full chunks and short ones", 10, 20, DATA, TOGETHER },
        { "the batch", 0, 50, BATCH, TOGETHER },
    };
    static const uint8_t seed[SIG_SEED_BYTES] = { 1, 2, 3 };
    struct batches *b = one_batch(24);
    struct sig_signer right, wrong;
    signer_init(&right, 0x11);
    signer_init(&wrong, 0x22);
    for (size_t k = 0; k < ARRAY_SIZE(pages); k++) {
        struct validate_item alone[TOGETHER];
        page_of(checked, &right, pages[k].count);
        for (uint32_t i = pages[k].from; i < pages[k].to; i++)
            checked[i] = changed(&many[i], pages[k].change, &right, &wrong);
        struct validate_page p = { .batches = b, .items = checked, .count = pages[k].count };
        validate_page(&p);
        check(p.refused == pages[k].to - pages[k].from, pages[k].why);
        memcpy(alone, checked, sizeof(alone));
        struct error first = p.first;
        p.seed = seed;
        validate_page(&p);
        check(p.refused == pages[k].to - pages[k].from, pages[k].why);
        check(p.first.code == first.code && !strcmp(p.first.text, first.text), first.text);
        for (uint32_t i = 0; i < pages[k].count; i++)
            check(checked[i].code == alone[i].code && checked[i].kind == alone[i].kind &&
                      !memcmp(checked[i].hash, alone[i].hash, sizeof(alone[i].hash)),
                  pages[k].why);
    }
    batches_destroy(b);
    mem_plan_destroy(plan);
}

TEST(without_a_table_nothing_is_known)
{
    struct sig_signer right;
    struct fixture f;
    signer_init(&right, 0x11);
    fixture_content(&f, &right);
    struct validate_item item = item_of(&f);
    struct validate_page p = { .items = &item, .count = 1 };
    validate_page(&p);
    check(item.code == ERR_REFUSED, "refused, not stored for later");
    p.accept_all_stamps = true;
    validate_page(&p);
    check(item.code == ERR_OK, "but where all are accepted");
}

/* Checked together with many of its kind it is as good, and those that bee refuses are found. */
static void bee_s_page(const struct batches *b, const struct validate_item *good)
{
    static const uint8_t seed[SIG_SEED_BYTES] = { 4, 5, 6 };
    static uint8_t bad[2][STAMP_BYTES];
    yajl_val list = vector_get(vectors("stamp"), "invalid");
    check(vector_count(list) == ARRAY_SIZE(bad), "another bucket, another signer");
    for (uint32_t i = 0; i < TOGETHER; i++)
        checked[i] = (struct validate_item){ .address = good->address,
                                             .data = good->data,
                                             .raw = good->raw };
    struct validate_page p = { .batches = b, .items = checked, .count = TOGETHER, .seed = seed };
    validate_page(&p);
    check(p.refused == 0, p.first.text);
    for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
        yajl_val v = vector_at(list, i);
        check(vector_hex(v, "stamp", bad[i], STAMP_BYTES) == STAMP_BYTES, "size");
        checked[10 * (i + 1)].raw = bytes_of(bad[i], STAMP_BYTES);
    }
    validate_page(&p);
    check(p.refused == 2 && checked[10].code == ERR_BAD_PROOF && checked[20].code == ERR_BAD_PROOF,
          "both are refused, and no other");
}

TEST(bee_s_stamp_is_valid_for_bee_s_batch)
{
    yajl_val v = vectors("stamp");
    static uint8_t data[LIMIT_CHUNK_CONTENT_BYTES];
    uint8_t address[32], raw[STAMP_BYTES];
    le64_encode(data, 4096);
    for (size_t i = 0; i < 4096; i++)
        data[8 + i] = (uint8_t)(7 * i + i / 256 + 3);
    check(vector_hex(v, "chunk_address", address, 32) == 32, "address");
    check(vector_hex(v, "stamp_113_bytes", raw, STAMP_BYTES) == STAMP_BYTES, "stamp");
    static const unsigned depths[] = { 24, 18 };
    for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
        struct batches *b = one_batch(depths[i]);
        struct validate_item item = { .address = address,
                                      .data = bytes_of(data, sizeof(data)),
                                      .raw = bytes_of(raw, sizeof(raw)) };
        struct validate_page p = { .batches = b, .items = &item, .count = 1 };
        validate_page(&p);
        check(item.code == (depths[i] == 24 ? ERR_OK : ERR_BAD_PROOF), "as bee says");
        if (depths[i] == 24)
            bee_s_page(b, &item);
        batches_destroy(b);
        mem_plan_destroy(plan);
    }
}
