#include "unit.h"

#include "base/prng.h"
#include "codec/sig_batch.h"

enum { SIGNATURES = 96, SIGNERS = 3 };

static struct sig_signer signers[SIGNERS];
static uint8_t digests[SIGNATURES][SIG_DIGEST_BYTES], sigs[SIGNATURES][SIG_BYTES];
static struct sig_batch_item items[SIGNATURES];
static struct sig_batch batch;
static uint8_t seed[SIG_SEED_BYTES];

/* Signature i is signer i % SIGNERS's over bytes made from i; returns how many joined. */
static void make_all(void)
{
    struct error err = { ERR_OK, "" };
    for (uint32_t s = 0; s < SIGNERS; s++) {
        uint8_t secret[SIG_SECRET_BYTES];
        memset(secret, (int)(0x21 + s), sizeof(secret));
        check(!sig_signer_init(&signers[s], secret, secret, &err), err.text);
    }
    for (uint32_t i = 0; i < SIGNATURES; i++) {
        struct bytes text = bytes_of(&i, sizeof(i));
        sig_eth_digest(digests[i], text);
        sig_eth_sign(&signers[i % SIGNERS], text, sigs[i]);
    }
}

static uint32_t join_all(uint32_t count)
{
    uint32_t joined = 0;
    sig_batch_init(&batch);
    for (uint32_t s = 0; s < SIGNERS; s++) {
        uint32_t number;
        check(sig_batch_signer(&batch, sig_signer_key(&signers[s]), &number) && number == s,
              "a place for a signer");
    }
    for (uint32_t i = 0; i < count; i++)
        joined += sig_batch_add(&batch, &items[i], i % SIGNERS, digests[i], sigs[i]);
    check(sig_batch_count(&batch) == joined, "count");
    return joined;
}

TEST(good_signatures_pass_at_any_number)
{
    make_all();
    for (uint32_t count = 0; count <= SIGNATURES; count += count < 9 ? 1 : 29) {
        check(join_all(count) == count, "all join");
        for (uint8_t s = 0; s < 4; s++) {
            memset(seed, s, sizeof(seed));
            check(sig_batch_check(&batch, seed), "all are good");
        }
    }
}

/* The order n less s, and the other parity: another writing of the same signature. */
static void make_high_s(uint8_t sig[SIG_BYTES])
{
    static const uint8_t order[32] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
                                       0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b,
                                       0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41 };
    int borrow = 0;
    for (int i = 31; i >= 0; i--) {
        int d = order[i] - sig[32 + i] - borrow;
        borrow = d < 0;
        sig[32 + i] = (uint8_t)(d + 256 * borrow);
    }
    sig[64] = sig[64] == 27 ? 28 : 27;
}

enum change { HIGH_S, COMPRESSED, S_OF_ORDER, S_ZERO, R_ZERO, R_PLUS_ORDER, V_26, V_35, NO_POINT };
static const struct {
    const char *why;
    enum change change;
    bool joins;
} forms[] = {
    { "high s", HIGH_S, true },
    { "v of a compressed key", COMPRESSED, true },
    { "s is the order", S_OF_ORDER, false },
    { "s is zero", S_ZERO, false },
    { "r is zero", R_ZERO, false },
    { "r + n", R_PLUS_ORDER, false },
    { "v 26", V_26, false },
    { "v 35", V_35, false },
    { "no point has this abscissa", NO_POINT, false },
};

static void change_form(uint8_t sig[SIG_BYTES], enum change change)
{
    uint8_t key[SIG_KEY_BYTES];
    switch (change) {
    case HIGH_S:
        make_high_s(sig);
        break;
    case COMPRESSED:
        sig[64] += 4;
        break;
    case S_OF_ORDER:
        memset(sig + 32, 0, 32);
        make_high_s(sig);
        break;
    case S_ZERO:
        memset(sig + 32, 0, 32);
        break;
    case R_ZERO:
        memset(sig, 0, 32);
        break;
    case R_PLUS_ORDER:
        sig[64] += 2;
        break;
    case V_26:
        sig[64] = 26;
        break;
    case V_35:
        sig[64] = 35;
        break;
    case NO_POINT:
        for (sig[31] = 0; !sig_recover(key, digests[5], sig, NULL); sig[31]++)
            check(sig[31] < 200, "every second number is no abscissa");
        break;
    }
}

TEST(odd_forms_join_only_when_they_recover_as_usual)
{
    make_all();
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        uint8_t kept[SIG_BYTES], key[SIG_KEY_BYTES];
        memcpy(kept, sigs[5], SIG_BYTES);
        change_form(sigs[5], forms[i].change);
        check(join_all(SIGNATURES) == (forms[i].joins ? SIGNATURES : SIGNATURES - 1), forms[i].why);
        check(sig_batch_check(&batch, seed), forms[i].why);
        bool same = !sig_recover(key, digests[5], sigs[5], NULL) &&
                    !memcmp(key, sig_signer_key(&signers[5 % SIGNERS]), SIG_KEY_BYTES);
        check(same == forms[i].joins, "as recovery says");
        memcpy(sigs[5], kept, SIG_BYTES);
    }
}

/* One bit of anything, or the signatures of two swapped: the sum does not hold. */
TEST(one_wrong_signature_fails_all)
{
    make_all();
    struct prng random = prng_of(7);

    uint32_t tried = 0;
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t i = (uint32_t)(prng_next(&random) % SIGNATURES);
        uint8_t kept[SIG_BYTES], kept_digest[SIG_DIGEST_BYTES];
        memcpy(kept, sigs[i], SIG_BYTES);
        memcpy(kept_digest, digests[i], SIG_DIGEST_BYTES);
        uint32_t bit = (uint32_t)(prng_next(&random) % (8 * (64 + 32 + 1)));
        if (bit < 8 * 64)
            sigs[i][bit / 8] ^= (uint8_t)(1 << bit % 8);
        else if (bit < 8 * 96)
            digests[i][bit / 8 - 64] ^= (uint8_t)(1 << bit % 8);
        else
            sigs[i][64] = sigs[i][64] == 27 ? 28 : 27;
        memset(seed, (int)round, sizeof(seed));
        if (join_all(SIGNATURES) == SIGNATURES) {
            check(!sig_batch_check(&batch, seed), "a bit was flipped");
            tried++;
        }
        memcpy(sigs[i], kept, SIG_BYTES);
        memcpy(digests[i], kept_digest, SIG_DIGEST_BYTES);
    }
    check(tried > 100, "half of the changed r are still an abscissa");
    memcpy(sigs[0], sigs[1], SIG_BYTES);
    check(join_all(SIGNATURES) == SIGNATURES && !sig_batch_check(&batch, seed), "another's");
    make_all();
    check(join_all(SIGNATURES) == SIGNATURES && sig_batch_check(&batch, seed), "all is well again");
}

/* Two errors that cancel each other in an unweighted sum: R and -R exchanged between two items. */
TEST(errors_that_cancel_out_are_seen)
{
    make_all();
    uint8_t r[32];
    memcpy(r, sigs[0], 32);
    for (uint32_t k = 3; k < SIGNATURES; k += 3) { /* of one signer: swap everything but r */
        uint8_t kept[SIG_BYTES];
        memcpy(kept, sigs[k], SIG_BYTES);
        memcpy(digests[k], digests[0], SIG_DIGEST_BYTES);
        memcpy(sigs[k], sigs[0], SIG_BYTES);
        sigs[k][64] = sigs[0][64] == 27 ? 28 : 27;
        check(join_all(SIGNATURES) == SIGNATURES && !sig_batch_check(&batch, seed),
              "the same point with both signs");
        make_all();
    }
}

TEST(places_are_limited)
{
    uint32_t number;
    make_all();
    sig_batch_init(&batch);
    for (uint32_t s = 0; s < SIG_BATCH_SIGNERS_MAX; s++)
        check(sig_batch_signer(&batch, sig_signer_key(&signers[0]), &number), "there is room");
    check(!sig_batch_signer(&batch, sig_signer_key(&signers[0]), &number), "no more signers");
    static struct sig_batch_item many[SIG_BATCH_MAX + 1];
    for (uint32_t i = 0; i < SIG_BATCH_MAX; i++)
        check(sig_batch_add(&batch, &many[i], i % SIG_BATCH_SIGNERS_MAX, digests[0], sigs[0]),
              "there is room");
    check(!sig_batch_add(&batch, &many[SIG_BATCH_MAX], 0, digests[0], sigs[0]), "no more items");
}
