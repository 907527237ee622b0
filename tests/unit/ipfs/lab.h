/* tests/unit/ipfs/lab.h: the peers and keys of kad-vectors.json, by its rules. */
#ifndef LARDER_TESTS_IPFS_LAB_H
#define LARDER_TESTS_IPFS_LAB_H

#include <stdio.h>
#include <string.h>

#include "codec/peerid.h"
#include "ipfs/kad.h"
#include "vectors.h"

enum { LAB_PEERS = 200 };

static inline void lab_secret(uint32_t i, struct peer_secret *out)
{
    uint8_t seed[32];
    char text[40];
    int n = snprintf(text, sizeof(text), "dhtnet/peer/%u", i);
    sha256_of(text, (size_t)n, seed);
    peer_secret_from_seed(seed, out);
}

static inline void lab_peer(uint32_t i, struct kad_peer *out)
{
    struct peer_secret secret;
    lab_secret(i, &secret);
    kad_peer_init(out, &secret.id);
}

static inline struct bytes lab_key(uint64_t i, uint8_t out[34])
{
    uint8_t in[15] = "larder:";
    be64_encode(in + 7, i);
    out[0] = 0x12;
    out[1] = 0x20;
    sha256_of(in, sizeof(in), out + 2);
    return bytes_of(out, 34);
}

static inline struct kad_prefix lab_prefix(const char *text)
{
    struct kad_prefix p = { 0, 0 };
    for (; *text; text++)
        p.bits |= (uint64_t)(*text - '0') << (63 - p.len++);
    return p;
}

#endif
