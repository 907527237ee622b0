#include "node/auth.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "codec/curve.h"

struct auth {
    struct mem_owner *mem;
    bool has_token;
    uint8_t hash[BLAKE2B256_BYTES];
};

/* The only line of the file, as a token: visible characters, enough of them to be no password. */
static enum err token_check(char *text, size_t size, struct error *err)
{
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        text[--size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (!isgraph((unsigned char)text[i]))
            return error_set(err, ERR_CONFIG, "it is not one line of visible characters");
    if (size < LIMIT_HTTP_TOKEN_BYTES_MIN)
        return error_set(err, ERR_CONFIG, "a token has at least %d characters",
                         LIMIT_HTTP_TOKEN_BYTES_MIN);
    return ERR_OK;
}

static enum err token_read(const char *path, char text[LIMIT_HTTP_TOKEN_BYTES + 2],
                           struct error *err)
{
    struct stat st;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum err rc = ERR_OK;
    if (fd < 0 || fstat(fd, &st) != 0 || (n = read(fd, text, LIMIT_HTTP_TOKEN_BYTES + 1)) < 0)
        rc = error_errno(err, ERR_CONFIG, errno, "it cannot be read");
    else if (st.st_mode & S_IROTH)
        rc = error_set(err, ERR_CONFIG, "everybody may read it; chmod o-r");
    else if (!LIMIT_CHECK(HTTP_TOKEN_BYTES, n))
        rc = error_set(err, ERR_CONFIG, "it is longer than %d bytes", LIMIT_HTTP_TOKEN_BYTES);
    if (fd >= 0)
        close(fd);
    if (rc)
        return rc;
    text[n] = '\0';
    return token_check(text, (size_t)n, err);
}

enum err auth_token_check(const char *path, struct error *err)
{
    char text[LIMIT_HTTP_TOKEN_BYTES + 2];
    enum err rc = token_read(path, text, err);
    secret_wipe(text, sizeof(text));
    return rc ? error_wrap(err, rc, "%s", path) : ERR_OK;
}

enum err auth_create(struct auth **out, struct mem_owner *mem, const char *path, struct error *err)
{
    char text[LIMIT_HTTP_TOKEN_BYTES + 2];
    struct auth *a = mem_zalloc(mem, sizeof(*a));
    enum err rc = ERR_OK;
    a->mem = mem;
    if (path[0]) {
        rc = token_read(path, text, err);
        if (!rc) {
            blake2b256_of(text, strlen(text), a->hash);
            a->has_token = true;
        }
        secret_wipe(text, sizeof(text));
    }
    if (rc) {
        auth_destroy(a);
        return error_wrap(err, rc, "http-token-file %s", path);
    }
    *out = a;
    return ERR_OK;
}

void auth_destroy(struct auth *a)
{
    if (a)
        mem_free(a->mem, a);
}

enum err auth_check(const struct auth *a, const char *header, struct error *err)
{
    static const char scheme[] = "Bearer ";
    uint8_t hash[BLAKE2B256_BYTES];
    if (!a->has_token)
        return error_set(err, ERR_REFUSED, "no http-token-file is configured");
    if (!header || strncasecmp(header, scheme, sizeof(scheme) - 1) != 0)
        return error_set(err, ERR_REFUSED, "a bearer token is needed");
    /* Hashes have one length, so that not even the token's length is told by time. */
    const char *token = header + sizeof(scheme) - 1;
    blake2b256_of(token, strlen(token), hash);
    if (!secret_equal(hash, a->hash, sizeof(hash)))
        return error_set(err, ERR_REFUSED, "that is not the token");
    return ERR_OK;
}
