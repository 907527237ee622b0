#include "codec/multibase.h"

/* An alphabet whose size is a power of two is read bit by bit, another one as a long number. */
struct alphabet {
    enum multibase base;
    unsigned radix, bits; /* bits 0: a long number */
    bool any_case;
    const char *digits;
};

static const struct alphabet alphabets[] = {
    { MULTIBASE_BASE16, 16, 4, true, "0123456789abcdef" },
    { MULTIBASE_BASE16_UPPER, 16, 4, true, "0123456789ABCDEF" },
    { MULTIBASE_BASE32, 32, 5, true, "abcdefghijklmnopqrstuvwxyz234567" },
    { MULTIBASE_BASE32_UPPER, 32, 5, true, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" },
    { MULTIBASE_BASE36, 36, 0, true, "0123456789abcdefghijklmnopqrstuvwxyz" },
    { MULTIBASE_BASE58BTC, 58, 0, false,
      "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz" },
    { MULTIBASE_BASE64, 64, 6, false,
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" },
    { MULTIBASE_BASE64URL, 64, 6, false,
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" },
};

static const struct alphabet *alphabet_of(int prefix)
{
    for (size_t i = 0; i < ARRAY_SIZE(alphabets); i++)
        if ((int)alphabets[i].base == prefix)
            return &alphabets[i];
    return NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* The value of a digit; the radix for a character that is none. */
static unsigned digit_of(const struct alphabet *a, char c)
{
    for (unsigned i = 0; i < a->radix; i++)
        if (a->digits[i] == c || (a->any_case && lower(a->digits[i]) == lower(c)))
            return i;
    return a->radix;
}

static int too_large(struct error *err)
{
    return error_set(err, ERR_TOO_LARGE, "text or its content is longer than allowed");
}

static enum err bits_encode(const struct alphabet *a, struct bytes in, char *out, size_t out_size,
                            struct error *err)
{
    if (in.size > LIMIT_MULTIBASE_TEXT_CHARS || (in.size * 8 + a->bits - 1) / a->bits >= out_size)
        return too_large(err);
    uint32_t acc = 0;
    unsigned have = 0;
    for (size_t i = 0; i < in.size; i++) {
        acc = (acc << 8 | in.data[i]) & 0xffff;
        for (have += 8; have >= a->bits; have -= a->bits)
            *out++ = a->digits[acc >> (have - a->bits) & (a->radix - 1)];
    }
    if (have > 0)
        *out++ = a->digits[acc << (a->bits - have) & (a->radix - 1)];
    *out = '\0';
    return ERR_OK;
}

static enum err bits_decode(const struct alphabet *a, const char *text, size_t text_size,
                            struct writer *w, struct error *err)
{
    uint32_t acc = 0;
    unsigned have = 0;
    for (size_t i = 0; i < text_size; i++) {
        unsigned d = digit_of(a, text[i]);
        if (d == a->radix)
            return error_set(err, ERR_MALFORMED, "character %zu is not of its alphabet", i + 1);
        acc = (acc << a->bits | d) & 0xffff;
        have += a->bits;
        if (have >= 8) {
            have -= 8;
            writer_u8(w, (uint8_t)(acc >> have));
        }
    }
    if (have >= a->bits || (acc & ((1U << have) - 1)) != 0)
        return error_set(err, ERR_MALFORMED, "bits are left over at the end of the text");
    return w->overflow ? too_large(err) : ERR_OK;
}

/* number = number * factor + add, little end first; false when it outgrows its room. */
static bool number_step(uint8_t *number, size_t *used, size_t room, unsigned factor, unsigned base,
                        unsigned add)
{
    unsigned carry = add;
    for (size_t i = 0; i < *used; i++) {
        carry += number[i] * factor;
        number[i] = (uint8_t)(carry % base);
        carry /= base;
    }
    for (; carry > 0; carry /= base) {
        if (*used == room)
            return false;
        number[(*used)++] = (uint8_t)(carry % base);
    }
    return true;
}

static enum err number_encode(const struct alphabet *a, struct bytes in, char *out, size_t out_size,
                              struct error *err)
{
    uint8_t digits[LIMIT_MULTIBASE_TEXT_CHARS];
    size_t used = 0, zeros = 0;
    while (zeros < in.size && in.data[zeros] == 0)
        zeros++;
    if (in.size > sizeof(digits))
        return too_large(err);
    for (size_t i = zeros; i < in.size; i++)
        if (!number_step(digits, &used, sizeof(digits), 256, a->radix, in.data[i]))
            return too_large(err);
    if (zeros + used >= out_size)
        return too_large(err);
    memset(out, a->digits[0], zeros);
    for (size_t i = 0; i < used; i++)
        out[zeros + i] = a->digits[digits[used - 1 - i]];
    out[zeros + used] = '\0';
    return ERR_OK;
}

static enum err number_decode(const struct alphabet *a, const char *text, size_t text_size,
                              struct writer *w, struct error *err)
{
    uint8_t number[LIMIT_MULTIBASE_TEXT_CHARS];
    size_t used = 0, zeros = 0;
    while (zeros < text_size && digit_of(a, text[zeros]) == 0)
        zeros++;
    for (size_t i = zeros; i < text_size; i++) {
        unsigned d = digit_of(a, text[i]);
        if (d == a->radix)
            return error_set(err, ERR_MALFORMED, "character %zu is not of its alphabet", i + 1);
        if (!number_step(number, &used, sizeof(number), a->radix, 256, d))
            return too_large(err);
    }
    for (size_t i = 0; i < zeros; i++)
        writer_u8(w, 0);
    for (size_t i = used; i > 0; i--)
        writer_u8(w, number[i - 1]);
    return w->overflow ? too_large(err) : ERR_OK;
}

static enum err text_decode(const struct alphabet *a, const char *text, size_t text_size,
                            struct writer *w, struct error *err)
{
    if (!LIMIT_CHECK(MULTIBASE_TEXT_CHARS, text_size))
        return too_large(err);
    return a->bits ? bits_decode(a, text, text_size, w, err)
                   : number_decode(a, text, text_size, w, err);
}

enum err multibase_encode(enum multibase base, struct bytes in, char *out, size_t out_size,
                          struct error *err)
{
    const struct alphabet *a = alphabet_of((int)base);
    assert(a);
    if (out_size < 2)
        return too_large(err);
    *out = (char)base;
    return a->bits ? bits_encode(a, in, out + 1, out_size - 1, err)
                   : number_encode(a, in, out + 1, out_size - 1, err);
}

enum err multibase_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size,
                          size_t *size, struct error *err)
{
    const struct alphabet *a = text_size > 0 ? alphabet_of(text[0]) : NULL;
    if (!a)
        return error_set(err, ERR_MALFORMED, "the text has no known multibase prefix");
    struct writer w = writer_of(out, out_size);
    enum err rc = text_decode(a, text + 1, text_size - 1, &w, err);
    if (!rc)
        *size = writer_used(&w);
    return rc;
}

enum err base58_encode(struct bytes in, char *out, size_t out_size, struct error *err)
{
    return number_encode(alphabet_of(MULTIBASE_BASE58BTC), in, out, out_size, err);
}

enum err base58_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size,
                       size_t *size, struct error *err)
{
    struct writer w = writer_of(out, out_size);
    enum err rc = text_decode(alphabet_of(MULTIBASE_BASE58BTC), text, text_size, &w, err);
    if (!rc)
        *size = writer_used(&w);
    return rc;
}
