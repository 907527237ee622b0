#include "net/ethkey.h"

#include <ctype.h>

#include "base/hex.h"
#include "codec/curve.h"
#include "net/secret_file.h"

enum { TEXT_BYTES = 2 * SIG_SECRET_BYTES + 1 };

enum err ethkey_signer(struct sig_signer *s, const uint8_t secret[SIG_SECRET_BYTES],
                       struct error *err)
{
    uint8_t seed[SIG_SEED_BYTES];
    secret_random(seed, sizeof(seed));
    enum err rc = sig_signer_init(s, secret, seed, err);
    secret_wipe(seed, sizeof(seed));
    return rc;
}

static bool is_key(const uint8_t secret[SIG_SECRET_BYTES])
{
    struct sig_signer s = { .secret_ = { 0 } };
    enum err rc = ethkey_signer(&s, secret, NULL);
    sig_signer_wipe(&s);
    return rc == ERR_OK;
}

static enum err decode(const struct secret_file *f, const char *name, uint8_t out[SIG_SECRET_BYTES],
                       struct error *err)
{
    const char *text = (const char *)f->data;
    size_t size = f->size, decoded = 0;
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    for (; size > 0 && isspace((unsigned char)*text); size--)
        text++;
    if (size > 2 && text[0] == '0' && text[1] == 'x') {
        text += 2;
        size -= 2;
    }
    if (hex_decode(text, size, out, SIG_SECRET_BYTES, &decoded, NULL) ||
        decoded != SIG_SECRET_BYTES || !is_key(out)) {
        secret_wipe(out, SIG_SECRET_BYTES);
        return error_set(err, ERR_CORRUPT, "%s holds no Ethereum key (64 hex digits)", name);
    }
    return ERR_OK;
}

enum err ethkey_read(const char *path, uint8_t out[SIG_SECRET_BYTES], struct error *err)
{
    struct secret_file file;
    enum err rc = secret_file_read(path, &file, err);
    rc = rc ? rc : decode(&file, path, out, err);
    secret_file_wipe(&file);
    return rc;
}

static enum err make(int dir_fd, const char *name, uint8_t out[SIG_SECRET_BYTES], struct error *err)
{
    char text[TEXT_BYTES + 1];
    do
        secret_random(out, SIG_SECRET_BYTES);
    while (!is_key(out));
    hex_encode(text, bytes_of(out, SIG_SECRET_BYTES));
    text[TEXT_BYTES - 1] = '\n';
    enum err rc = secret_file_make(dir_fd, name, bytes_of(text, TEXT_BYTES), err);
    secret_wipe(text, sizeof(text));
    return rc;
}

enum err ethkey_open(int dir_fd, const char *name, uint8_t out[SIG_SECRET_BYTES], struct error *err)
{
    struct secret_file file;
    enum err rc = secret_file_open(dir_fd, name, &file, err);
    if (rc == ERR_NOT_FOUND) {
        error_clear(err);
        return make(dir_fd, name, out, err);
    }
    rc = rc ? rc : decode(&file, name, out, err);
    secret_file_wipe(&file);
    return rc;
}
