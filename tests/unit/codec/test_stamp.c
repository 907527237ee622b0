#include "unit.h"

#include "codec/stamp.h"
#include "vectors.h"

static yajl_val vectors(void)
{
    return vector_get(vectors_load("swarm-vectors.json"), "stamp");
}

static void decode_vector(struct stamp *s, uint8_t *raw, uint8_t *address)
{
    struct error err = { ERR_OK, "" };
    check(vector_hex(vectors(), "chunk_address", address, 32) == 32, "address");
    size_t size = vector_hex(vectors(), "stamp_113_bytes", raw, STAMP_BYTES);
    check(!stamp_decode(s, bytes_of(raw, size), &err), err.text);
}

TEST(layout_hash_and_digest_are_those_of_bee)
{
    yajl_val v = vectors();
    struct stamp s;
    uint8_t raw[STAMP_BYTES], again[STAMP_BYTES], address[32], want[65], got[32];
    decode_vector(&s, raw, address);
    stamp_encode(&s, again);
    check(!memcmp(raw, again, STAMP_BYTES), "encoding gives the same bytes");
    check(vector_hex(v, "batch_id", want, 32) == 32 && !memcmp(s.batch, want, 32), "batch");
    check(s.bucket == vector_int(v, "bucket") && s.position == vector_int(v, "within_bucket"),
          "index");
    check(vector_hex(v, "timestamp", want, 8) == 8 && s.timestamp == be64_decode(want), "time");
    check(stamp_bucket(address, 16) == s.bucket, "bucket of the address");
    stamp_hash(got, raw);
    check(vector_hex(v, "stamp_hash", want, 32) == 32 && !memcmp(got, want, 32), "hash");
    stamp_digest(got, &s, address);
    check(vector_hex(v, "inner_digest", want, 32) == 32 && !memcmp(got, want, 32), "digest");
}

TEST(the_owner_is_recovered_and_signs_alike)
{
    struct stamp s;
    uint8_t raw[STAMP_BYTES], again[STAMP_BYTES], address[32], want[32], got[20];
    struct error err = { ERR_OK, "" };
    decode_vector(&s, raw, address);
    check(!stamp_recover(got, &s, address, &err), err.text);
    check(vector_hex(vectors(), "recovered_owner", want, 20) == 20 && !memcmp(got, want, 20),
          "owner");
    struct sig_signer signer;
    yajl_val identity = vector_get(vectors_load("swarm-vectors.json"), "identity");
    check(vector_hex(identity, "private_key", want, 32) == 32, "key");
    check(!sig_signer_init(&signer, want, want, &err), err.text);
    memset(s.signature, 0, sizeof(s.signature));
    stamp_sign(&s, &signer, address);
    stamp_encode(&s, again);
    check(!memcmp(raw, again, STAMP_BYTES), "our stamp is bee's stamp");
}

TEST(validity)
{
    struct stamp s;
    uint8_t raw[STAMP_BYTES], address[32];
    decode_vector(&s, raw, address);
    yajl_val list = vector_get(vectors(), "validity");
    check(vector_count(list) == 2, "both depths");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        struct stamp_batch batch = { .depth = (uint8_t)vector_int(v, "depth"),
                                     .bucket_depth = (uint8_t)vector_int(v, "bucket_depth") };
        check(vector_hex(v, "owner", batch.owner, 20) == 20, "owner");
        bool valid = !strcmp(vector_text(v, "result"), "valid");
        check((stamp_check(&s, address, &batch, NULL) == ERR_OK) == valid, "as bee says");
    }
    list = vector_get(vectors(), "invalid");
    struct stamp_batch batch = { .depth = 24, .bucket_depth = 16 };
    check(vector_hex(vectors(), "recovered_owner", batch.owner, 20) == 20, "owner");
    check(!stamp_check(&s, address, &batch, NULL), "the valid one is valid for this batch");
    for (size_t i = 0; i < vector_count(list); i++) {
        struct error err = { ERR_OK, "" };
        yajl_val v = vector_at(list, i);
        check(vector_hex(v, "stamp", raw, STAMP_BYTES) == STAMP_BYTES, "size");
        check(!stamp_decode(&s, bytes_of(raw, STAMP_BYTES), &err), err.text);
        check(stamp_check(&s, address, &batch, &err) == ERR_BAD_PROOF, vector_text(v, "why"));
    }
}

static const struct {
    const char *why;
    uint32_t bucket, position;
    uint8_t depth, bucket_depth;
    bool valid;
} indexes[] = {
    { "the last position", 0xff, 15, 12, 8, true },
    { "one behind it", 0xff, 16, 12, 8, false },
    { "a bucket of one stamp", 0xff, 0, 8, 8, true },
    { "has no second", 0xff, 1, 8, 8, false },
    { "another bucket", 0xfe, 0, 12, 8, false },
    { "one bucket for all", 0, 7, 3, 0, true },
    { "as many buckets as addresses of 32 bits", 0xff020304, 0, 32, 32, true },
    { "a bucket larger than positions can count", 0xff, UINT32_MAX, 40, 8, true },
    { "and one just that large", 0xff, UINT32_MAX, 39, 8, false },
};

TEST(bucket_and_position)
{
    uint8_t address[32] = { 0xff, 2, 3, 4, 5 };
    for (size_t i = 0; i < ARRAY_SIZE(indexes); i++) {
        struct stamp s = { .bucket = indexes[i].bucket, .position = indexes[i].position };
        enum err rc =
            stamp_check_index(&s, address, indexes[i].depth, indexes[i].bucket_depth, NULL);
        check(rc == (indexes[i].valid ? ERR_OK : ERR_BAD_PROOF), indexes[i].why);
    }
}

TEST(a_stamp_has_113_bytes)
{
    uint8_t raw[STAMP_BYTES + 1] = { 0 };
    struct stamp s;
    check(stamp_decode(&s, bytes_of(raw, 112), NULL) == ERR_MALFORMED, "not less");
    check(stamp_decode(&s, bytes_of(raw, 114), NULL) == ERR_MALFORMED, "not more");
    check(stamp_decode(&s, bytes_of(NULL, 0), NULL) == ERR_MALFORMED, "not none");
}
