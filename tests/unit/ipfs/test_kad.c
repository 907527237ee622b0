/* Places, messages, regions and allotments as the reference's packages have them. */
#include "unit.h"

#include <stdlib.h>

#include "ipfs/allot.h"
#include "ipfs/region.h"
#include "ipfs/schedule.h"
#include "lab.h"

static yajl_val vectors(const char *key)
{
    return vector_get(vectors_load("kad-vectors.json"), key);
}

TEST(distances_are_xor_of_hashes)
{
    yajl_val list = vectors("distances");
    for (size_t i = 0; i < vector_count(list); i++) {
        uint8_t hash[34], kad[KAD_BYTES], want[KAD_BYTES];
        struct kad_peer peer;
        yajl_val v = vector_at(list, i);
        lab_peer((uint32_t)vector_int(v, "lab_peer"), &peer);
        kad_of(lab_key((uint64_t)vector_int(v, "key"), hash), kad);
        check(kad_common(peer.kad, kad) == (uint32_t)vector_int(v, "cpl"), "common bits");
        vector_hex(v, "xor", want, sizeof(want));
        for (int b = 0; b < KAD_BYTES; b++)
            check((peer.kad[b] ^ kad[b]) == want[b], "the distance");
    }
}

static yajl_val message(const char *start)
{
    yajl_val list = vectors("messages");
    for (size_t i = 0; i < vector_count(list); i++)
        if (!strncmp(vector_text(vector_at(list, i), "name"), start, strlen(start)))
            return vector_at(list, i);
    check(false, start);
    return NULL;
}

TEST(requests_are_those_of_the_reference)
{
    uint8_t want[512], got[512], hash[34], address[64];
    struct kad_peer peer;
    struct peer_secret secret;
    struct kad_record record;
    lab_peer(1, &peer);
    size_t n = vector_hex(message("FIND_NODE request"), "framed", want, sizeof(want));
    check(kad_request_put(got, KAD_FIND_NODE, peer_id_bytes(&peer.id)) == n, "as long");
    check(!memcmp(got, want, n), "FIND_NODE");
    struct bytes key = lab_key(0, hash);
    n = vector_hex(message("GET_PROVIDERS request"), "framed", want, sizeof(want));
    check(kad_request_put(got, KAD_GET_PROVIDERS, key) == n && !memcmp(got, want, n),
          "GET_PROVIDERS");
    static const char *const addresses[] = { "/ip4/127.0.0.1/tcp/4001",
                                             "/ip4/203.0.113.7/tcp/4001" };
    lab_secret(0, &secret);
    for (int count = 1; count <= 2; count++) {
        kad_record_init(&record, &secret.id);
        for (int i = 0; i < count; i++) {
            struct writer w = writer_of(address, sizeof(address));
            check(!multiaddr_from_text(addresses[i], strlen(addresses[i]), &w, NULL), "address");
            check(kad_record_add_address(&record, bytes_of(address, writer_used(&w))), "room");
        }
        n = vector_hex(message(count == 1 ? "ADD_PROVIDER, one" : "ADD_PROVIDER, key"), "framed",
                       want, sizeof(want));
        check(kad_record_size(&record, key.size) == n, "the size is known beforehand");
        kad_record_put(&record, got, key);
        check(!memcmp(got, want, n), "ADD_PROVIDER");
    }
}

TEST(a_record_of_a_long_key_has_a_long_length)
{
    uint8_t hash[80] = { 0x00, 78 }, out[300];
    struct peer_secret secret;
    struct kad_record record;
    lab_secret(0, &secret);
    kad_record_init(&record, &secret.id);
    size_t n = kad_record_size(&record, sizeof(hash));
    kad_record_put(&record, out, bytes_of(hash, sizeof(hash)));
    check(n == 2U + (out[0] & 0x7f) + ((size_t)out[1] << 7) && out[0] & 0x80, "two bytes");
    check(out[2] == 0x08 && out[3] == KAD_ADD_PROVIDER && out[5] == 80, "then the message");
}

struct answer {
    struct kad_decoder d;
    uint32_t closer, providers, addresses;
    struct peer_id first;
};

static void on_peer(struct kad_decoder *d, const struct kad_peer *peer, bool provider)
{
    struct answer *a = container_of(d, struct answer, d);
    uint32_t at = 0;
    if (a->closer + a->providers == 0)
        a->first = peer->id;
    a->providers += provider;
    a->closer += !provider;
    while (kad_peer_address(peer, &at).size > 0)
        a->addresses++;
}

/* In pieces of any size. */
static enum err decode(struct answer *a, const uint8_t *in, size_t size, size_t piece)
{
    struct error err;
    *a = (struct answer){ .d = { .on_peer = on_peer, .allow_private = true } };
    for (size_t at = 0; at < size && !a->d.done;) {
        size_t taken = 0;
        enum err rc = kad_decode(&a->d, bytes_of(in + at, MIN(piece, size - at)), &taken, &err);
        if (rc)
            return rc;
        at += taken;
    }
    return ERR_OK;
}

TEST(answers_are_read_in_pieces_of_any_size)
{
    uint8_t in[512];
    struct answer a;
    for (size_t piece = 1; piece < 64; piece += 7) {
        size_t n = vector_hex(message("GET_PROVIDERS response"), "framed", in, sizeof(in));
        check(!decode(&a, in, n, piece) && a.d.done, "whole");
        check(a.d.type == KAD_GET_PROVIDERS && a.providers == 1 && a.closer == 2, "its peers");
        check(a.addresses > 0, "with addresses");
        n = vector_hex(message("FIND_NODE response"), "framed", in, sizeof(in));
        check(!decode(&a, in, n, piece) && a.d.done && a.closer == 2, "FIND_NODE");
    }
}

static const struct {
    const char *why;
    uint8_t in[8];
    size_t size;
    enum err want;
} bad[] = {
    { "a length above 4 MiB", { 0x81, 0x80, 0x80, 0x02 }, 4, ERR_TOO_LARGE },
    { "a length that never ends", { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 8, ERR_OK },
    { "a field longer than its message", { 0x03, 0x42, 0x09, 0x00 }, 4, ERR_MALFORMED },
    { "a group", { 0x02, 0x43, 0x44 }, 3, ERR_MALFORMED },
    { "a message that ends in a header", { 0x01, 0x42 }, 2, ERR_MALFORMED },
    { "a peer that is none", { 0x04, 0x42, 0x02, 0x0a, 0x09 }, 5, ERR_MALFORMED },
    { "a peer without an id is passed over", { 0x04, 0x42, 0x02, 0x18, 0x01 }, 5, ERR_OK },
    { "unknown fields are skipped", { 0x04, 0x62, 0x02, 0xff, 0xff }, 5, ERR_OK },
};

TEST(bad_answers_are_refused)
{
    struct answer a;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        check(decode(&a, bad[i].in, bad[i].size, 3) == bad[i].want, bad[i].why);
}

TEST(no_more_than_forty_peers_are_taken_from_an_answer)
{
    static uint8_t in[4096];
    struct answer a;
    struct kad_peer peer;
    size_t n = 2;
    lab_peer(3, &peer);
    for (int i = 0; i < 60; i++) {
        in[n++] = 0x42;
        in[n++] = (uint8_t)(2 + peer.id.len);
        in[n++] = 0x0a;
        in[n++] = peer.id.len;
        memcpy(in + n, peer.id.bytes, peer.id.len);
        n += peer.id.len;
    }
    in[0] = (uint8_t)((n - 2) | 0x80);
    in[1] = (uint8_t)((n - 2) >> 7);
    check(!decode(&a, in, n, 100) && a.d.done && a.closer == 40, "forty");
}

static int by_place(const void *a, const void *b)
{
    return memcmp(((const struct kad_peer *)a)->kad, ((const struct kad_peer *)b)->kad, KAD_BYTES);
}

TEST(regions_are_the_smallest_with_twenty_servers)
{
    static struct kad_peer peers[LAB_PEERS];
    uint64_t kads[LAB_PEERS];
    yajl_val list = vector_get(vectors("regions"), "regions_in_order");
    struct kad_prefix all = { 0, 0 };
    for (uint32_t i = 0; i < LAB_PEERS; i++)
        lab_peer(i, &peers[i]);
    qsort(peers, LAB_PEERS, sizeof(peers[0]), by_place);
    for (uint32_t i = 0; i < LAB_PEERS; i++)
        kads[i] = kad_first(peers[i].kad);
    for (size_t i = 0; i < vector_count(list); i++) {
        struct kad_prefix want = lab_prefix(vector_text(vector_at(list, i), "prefix"));
        uint32_t first = 0, count = 0, keys = 0;
        struct kad_prefix got = region_split(kads, LAB_PEERS, all, want.bits, &first, &count);
        check(got.bits == want.bits && got.len == want.len, "the prefix");
        check(count == (uint32_t)vector_int(vector_at(list, i), "peers"), "its servers");
        check(kad_prefix_has(got, kads[first]) && kad_prefix_has(got, kads[first + count - 1]),
              "all under it");
        for (uint64_t k = 0; k < 1000; k++) {
            uint8_t hash[34];
            keys += kad_prefix_has(got, key_kad(lab_key(k, hash)));
        }
        check(keys == (uint32_t)vector_int(vector_at(list, i), "keys_of_first_1000"), "its keys");
    }
}

/* Allots key i; fills which of the unsorted peers hold it. */
static void allot_one(struct allot *a, const uint32_t *sorted, uint64_t kad, bool holds[LAB_PEERS])
{
    memset(holds, 0, LAB_PEERS * sizeof(*holds));
    allot_key(a, kad);
    for (uint32_t i = 0; i < a->set_count; i++)
        holds[sorted[a->set[i]]] = true;
}

static uint64_t sort_kads[LAB_PEERS];
static int by_kad(const void *a, const void *b)
{
    uint64_t x = sort_kads[*(const uint32_t *)a], y = sort_kads[*(const uint32_t *)b];
    return (x > y) - (x < y);
}

TEST(a_key_goes_to_its_twenty_nearest_and_to_nobody_else)
{
    uint32_t order[100];
    uint64_t kads[100];
    struct allot a;
    uint8_t hash[34];
    for (uint32_t i = 0; i < 100; i++) {
        struct kad_peer peer;
        lab_peer(i, &peer);
        sort_kads[i] = kad_first(peer.kad);
        order[i] = i;
    }
    qsort(order, 100, sizeof(order[0]), by_kad);
    for (uint32_t i = 0; i < 100; i++)
        kads[i] = sort_kads[order[i]];
    allot_init(&a, kads, 100);
    for (uint64_t k = 0; k < 3000; k++) {
        bool holds[LAB_PEERS];
        uint64_t kad = key_kad(lab_key(k, hash));
        allot_one(&a, order, kad, holds);
        for (uint32_t i = 0; i < 100; i++) {
            uint32_t nearer = 0;
            for (uint32_t j = 0; j < 100; j++)
                nearer += (sort_kads[j] ^ kad) < (sort_kads[i] ^ kad);
            check(holds[i] == (nearer < KAD_K), "brute force says the same");
        }
    }
}

TEST(allotments_are_those_of_the_vectors)
{
    yajl_val list = vector_get(vectors("allocation"), "exact");
    for (size_t i = 0; i < vector_count(list); i++) {
        static struct kad_peer peers[LAB_PEERS];
        uint64_t kads[LAB_PEERS], in_region[LIMIT_PASS_SERVERS];
        uint32_t first, count;
        struct allot a;
        uint8_t hash[34];
        yajl_val exact = vector_get(vector_at(list, i), "exact_closest20_lab_peers");
        uint64_t kad = key_kad(lab_key((uint64_t)vector_int(vector_at(list, i), "list_key"), hash));
        for (uint32_t p = 0; p < LAB_PEERS; p++)
            lab_peer(p, &peers[p]);
        qsort(peers, LAB_PEERS, sizeof(peers[0]), by_place);
        for (uint32_t p = 0; p < LAB_PEERS; p++)
            kads[p] = kad_first(peers[p].kad);
        (void)region_split(kads, LAB_PEERS, (struct kad_prefix){ 0, 0 }, kad, &first, &count);
        memcpy(in_region, kads + first, count * sizeof(kads[0]));
        allot_init(&a, in_region, count);
        allot_key(&a, kad);
        for (uint32_t j = 0; j < KAD_K; j++) {
            struct kad_peer want;
            lab_peer((uint32_t)YAJL_GET_INTEGER(vector_at(exact, j)), &want);
            check(in_region[a.set[j]] == kad_first(want.kad), "nearest first");
        }
    }
}

TEST(a_part_is_due_at_its_place_in_the_interval)
{
    yajl_val v = vectors("schedule"), list = vector_get(v, "offsets");
    uint64_t order = lab_prefix(vector_text(v, "order_first32bits")).bits;
    for (size_t i = 0; i < vector_count(list); i++) {
        struct kad_prefix p = lab_prefix(vector_text(vector_at(list, i), "prefix"));
        check(schedule_offset(p, order, (uint64_t)vector_int(v, "interval_ns")) ==
                  (uint64_t)vector_int(vector_at(list, i), "offset_ns_22h"),
              vector_text(vector_at(list, i), "prefix"));
    }
}

TEST(targets_hash_to_what_they_are_wanted_for)
{
    static uint32_t preimages[KAD_PREIMAGES];
    yajl_val list = vector_get(vectors("lookup_targets"), "examples");
    uint8_t in[KAD_PREIMAGE_BYTES], kad[KAD_BYTES], want[KAD_PREIMAGE_BYTES];
    kad_preimages_build(preimages);
    for (uint32_t bits = 0; bits < KAD_PREIMAGES; bits++) {
        kad_preimage(preimages[bits], in);
        kad_of(bytes_of(in, sizeof(in)), kad);
        check(be16_decode(kad) == bits, "its first bits");
    }
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        vector_hex(v, "preimage", want, sizeof(want));
        kad_of(bytes_of(want, sizeof(want)), kad);
        check(be16_decode(kad) == lab_prefix(vector_text(v, "want_first16bits")).bits >> 48,
              "of the reference too");
    }
}
