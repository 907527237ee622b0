/* lib/codec/keccak_lanes.h
 *
 * Template, included by keccak.c once per engine: Keccak-f[1600] and a whole hash over LANES inputs
 * side by side. Before each inclusion:
 *   LANES    how many inputs; WORD  uint64_t or a vector of LANES times 64 bits
 *   NAME(x)  names of this engine's functions; TARGET  the attribute that allows its instructions
 *   GATHER(p, stride)  WORD with the 8 bytes at p, p + stride, ... (little endian)
 * The attribute stands on the functions themselves: gcc splits vector operations of a function
 * without it into scalar ones before it would inline them.
 * Rotation counts and round constants: FIPS 202 §3.2.
 */
#define ROTATE(x, n) (((x) << (n)) | ((x) >> (64 - (n))))

/* chi over one plane of five words, whose rho and pi were done by the caller */
#define CHI(E, at, b0, b1, b2, b3, b4)                                                             \
    do {                                                                                           \
        WORD x0_ = (b0), x1_ = (b1), x2_ = (b2), x3_ = (b3), x4_ = (b4);                           \
        E[(at) + 0] = x0_ ^ (~x1_ & x2_);                                                          \
        E[(at) + 1] = x1_ ^ (~x2_ & x3_);                                                          \
        E[(at) + 2] = x2_ ^ (~x3_ & x4_);                                                          \
        E[(at) + 3] = x3_ ^ (~x4_ & x0_);                                                          \
        E[(at) + 4] = x4_ ^ (~x0_ & x1_);                                                          \
    } while (0)

/* One round from A to E; all indices are constants, so both live in registers. */
#define ROUND(A, E, constant)                                                                      \
    do {                                                                                           \
        WORD c0 = A[0] ^ A[5] ^ A[10] ^ A[15] ^ A[20], c1 = A[1] ^ A[6] ^ A[11] ^ A[16] ^ A[21];   \
        WORD c2 = A[2] ^ A[7] ^ A[12] ^ A[17] ^ A[22], c3 = A[3] ^ A[8] ^ A[13] ^ A[18] ^ A[23];   \
        WORD c4 = A[4] ^ A[9] ^ A[14] ^ A[19] ^ A[24];                                             \
        WORD d0 = c4 ^ ROTATE(c1, 1), d1 = c0 ^ ROTATE(c2, 1), d2 = c1 ^ ROTATE(c3, 1);            \
        WORD d3 = c2 ^ ROTATE(c4, 1), d4 = c3 ^ ROTATE(c0, 1);                                     \
        CHI(E, 0, A[0] ^ d0, ROTATE(A[6] ^ d1, 44), ROTATE(A[12] ^ d2, 43),                        \
            ROTATE(A[18] ^ d3, 21), ROTATE(A[24] ^ d4, 14));                                       \
        E[0] ^= (constant);                                                                        \
        CHI(E, 5, ROTATE(A[3] ^ d3, 28), ROTATE(A[9] ^ d4, 20), ROTATE(A[10] ^ d0, 3),             \
            ROTATE(A[16] ^ d1, 45), ROTATE(A[22] ^ d2, 61));                                       \
        CHI(E, 10, ROTATE(A[1] ^ d1, 1), ROTATE(A[7] ^ d2, 6), ROTATE(A[13] ^ d3, 25),             \
            ROTATE(A[19] ^ d4, 8), ROTATE(A[20] ^ d0, 18));                                        \
        CHI(E, 15, ROTATE(A[4] ^ d4, 27), ROTATE(A[5] ^ d0, 36), ROTATE(A[11] ^ d1, 10),           \
            ROTATE(A[17] ^ d2, 15), ROTATE(A[23] ^ d3, 56));                                       \
        CHI(E, 20, ROTATE(A[2] ^ d2, 62), ROTATE(A[8] ^ d3, 55), ROTATE(A[14] ^ d4, 39),           \
            ROTATE(A[15] ^ d0, 41), ROTATE(A[21] ^ d1, 2));                                        \
    } while (0)

TARGET static void NAME(permute)(WORD state[KECCAK_STATE_WORDS])
{
    WORD a[KECCAK_STATE_WORDS], e[KECCAK_STATE_WORDS];
    memcpy(a, state, sizeof(a));
    for (size_t round = 0; round < ARRAY_SIZE(round_constants); round += 2) {
        ROUND(a, e, round_constants[round]);
        ROUND(e, a, round_constants[round + 1]);
    }
    memcpy(state, a, sizeof(a));
}

/* LANES inputs of size bytes at in, in + stride, ...; 32 bytes each to out, one behind the other.
 * Everything is read before anything is written. */
TARGET static void NAME(hash)(uint8_t *out, const uint8_t *in, size_t stride, size_t size)
{
    WORD state[KECCAK_STATE_WORDS];
    memset(state, 0, sizeof(state));
    for (; size >= KECCAK256_RATE_BYTES; size -= KECCAK256_RATE_BYTES, in += KECCAK256_RATE_BYTES) {
        for (size_t i = 0; i < KECCAK256_RATE_BYTES / 8; i++)
            state[i] ^= GATHER(in + 8 * i, stride);
        NAME(permute)(state);
    }
    size_t words = size / 8, rest = size % 8;
    for (size_t i = 0; i < words; i++)
        state[i] ^= GATHER(in + 8 * i, stride);
    /* The last word: what is left of each input, then the 1 that begins the padding. */
    uint8_t last[LANES * 8];
    memset(last, 0, sizeof(last));
    for (size_t lane = 0; lane < LANES; lane++) {
        memcpy(last + 8 * lane, in + lane * stride + 8 * words, rest);
        last[8 * lane + rest] = 0x01;
    }
    state[words] ^= GATHER(last, 8);
    state[KECCAK256_RATE_BYTES / 8 - 1] ^= UINT64_C(0x80) << 56;
    NAME(permute)(state);
    uint64_t digest[KECCAK256_BYTES / 8][LANES];
    memcpy(digest, state, sizeof(digest));
    for (size_t lane = 0; lane < LANES; lane++)
        for (size_t i = 0; i < KECCAK256_BYTES / 8; i++)
            le64_encode(out + KECCAK256_BYTES * lane + 8 * i, digest[i][lane]);
}

#undef ROTATE
#undef CHI
#undef ROUND
#undef LANES
#undef WORD
#undef NAME
#undef TARGET
#undef GATHER
