#include "base/hex.h"

static const char digits[] = "0123456789abcdef";

char *hex_encode(char *out, struct bytes b)
{
    for (size_t i = 0; i < b.size; i++) {
        out[2 * i] = digits[b.data[i] >> 4];
        out[2 * i + 1] = digits[b.data[i] & 15];
    }
    out[2 * b.size] = '\0';
    return out;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20; /* lower case */
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

enum err hex_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size, size_t *size,
                    struct error *err)
{
    if (text_size % 2)
        return error_set(err, ERR_MALFORMED, "hex text has an odd number of digits");
    if (text_size / 2 > out_size)
        return error_set(err, ERR_TOO_LARGE, "hex text of %zu bytes where %zu fit", text_size / 2,
                         out_size);
    for (size_t i = 0; i < text_size; i += 2) {
        int high = digit_value(text[i]), low = digit_value(text[i + 1]);
        if (high > 15 || low > 15)
            return error_set(err, ERR_MALFORMED, "not a hex digit at position %zu",
                             high > 15 ? i : i + 1);
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    *size = text_size / 2;
    return ERR_OK;
}
