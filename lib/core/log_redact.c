#include "core/log.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "base/bytes.h"

enum { ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN };

static bool v4_is_local(const uint8_t a[4])
{
    return a[0] == 127 || be32_decode(a) == 0;
}

/* Length of the address of a peer at text, which is a run of size characters of addresses; 0: none.
 * What follows a sentence's address is no part of it: "1.2.3.4:", "::ffff:1.2.3.4." */
static size_t address_in(const char *text, size_t size)
{
    char copy[ADDRESS_TEXT_MAX];
    uint8_t a[16];
    while (size > 0 &&
           (text[size - 1] == '.' || (text[size - 1] == ':' && size > 1 && text[size - 2] != ':')))
        size--;
    if (size > 0 && size < sizeof(copy)) {
        memcpy(copy, text, size);
        copy[size] = '\0';
        if (inet_pton(AF_INET6, copy, a) == 1) {
            static const uint8_t zeros[15], mapped[12] = { [10] = 0xff, [11] = 0xff };
            bool local = memcmp(a, zeros, 15) == 0 && a[15] <= 1;
            local |= memcmp(a, mapped, 12) == 0 && v4_is_local(a + 12);
            return local ? 0 : size;
        }
    }
    const char *port = memchr(text, ':', size);
    if (port)
        size = (size_t)(port - text);
    if (size == 0 || size >= sizeof(copy))
        return 0;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return inet_pton(AF_INET, copy, a) == 1 && !v4_is_local(a) ? size : 0;
}

/* Length of "/dns4/" and its like at text; 0: none. */
static size_t name_prefix(const char *text)
{
    static const char *const prefixes[] = { "/dns/", "/dns4/", "/dns6/", "/dnsaddr/" };
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            return strlen(prefixes[i]);
    return 0;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static bool is_local_name(const char *name, size_t size)
{
    return size == strlen("localhost") && memcmp(name, "localhost", size) == 0;
}

/* Copies the next piece of text to w and returns its length. */
static size_t redact_piece(struct writer *w, const char *text, bool after_word)
{
    static const char redacted[] = "redacted";
    size_t n = name_prefix(text);
    if (n > 0) {
        size_t name = strcspn(text + n, "/ \t\n\",;)");
        writer_put(w, text, n);
        if (is_local_name(text + n, name))
            writer_put(w, text + n, name);
        else
            writer_put(w, redacted, sizeof(redacted) - 1);
        return n + name;
    }
    n = strspn(text, "0123456789abcdefABCDEF:.");
    size_t address = n > 0 && !after_word && !is_word(text[n]) ? address_in(text, n) : 0;
    if (address > 0) {
        writer_put(w, redacted, sizeof(redacted) - 1);
        return address;
    }
    n = MAX(n, 1);
    writer_put(w, text, n);
    return n;
}

void log_redact(char *out, size_t size, const char *text)
{
    assert(size > 0);
    struct writer w = writer_of(out, size - 1);
    for (size_t i = 0, n; text[i] != '\0' && !w.overflow; i += n)
        n = redact_piece(&w, text + i, i > 0 && is_word(text[i - 1]));
    *w.at = '\0';
}
