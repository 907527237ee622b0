#include "net/identity.h"

#include "net/secret_file.h"

static enum err key_decode(struct bytes message, const char *name, struct peer_secret *out,
                           struct error *err)
{
    enum err rc = peer_secret_decode(message, out, err);
    if (rc && rc != ERR_UNSUPPORTED)
        return error_wrap(err, ERR_CORRUPT, "the key %s", name);
    return rc ? error_wrap(err, rc, "the key %s", name) : ERR_OK;
}

enum err identity_read(const char *path, struct peer_secret *out, struct error *err)
{
    struct secret_file file;
    enum err rc = secret_file_read(path, &file, err);
    rc = rc ? rc : key_decode(secret_file_bytes(&file), path, out, err);
    secret_file_wipe(&file);
    return rc;
}

static enum err key_make(int dir_fd, const char *name, struct peer_secret *out, struct error *err)
{
    uint8_t seed[ED25519_SEED_BYTES], message[LIMIT_IDENTITY_FILE_BYTES];
    struct writer w = writer_of(message, sizeof(message));
    secret_random(seed, sizeof(seed));
    peer_secret_from_seed(seed, out);
    peer_secret_put(&w, out);
    enum err rc = secret_file_make(dir_fd, name, bytes_of(message, writer_used(&w)), err);
    secret_wipe(seed, sizeof(seed));
    secret_wipe(message, sizeof(message));
    return rc;
}

enum err identity_open(int dir_fd, const char *name, struct peer_secret *out, struct error *err)
{
    struct secret_file file;
    enum err rc = secret_file_open(dir_fd, name, &file, err);
    if (rc == ERR_NOT_FOUND) {
        error_clear(err);
        return key_make(dir_fd, name, out, err);
    }
    rc = rc ? rc : key_decode(secret_file_bytes(&file), name, out, err);
    secret_file_wipe(&file);
    return rc;
}
