#include "node/overlay_print.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hex.h"
#include "codec/curve.h"
#include "codec/stamp.h"
#include "core/config.h"
#include "net/ethkey.h"
#include "node/datadir.h"
#include "node/swarm.h"
#include "swarm/identity.h"

enum { BUCKET_DEPTH = 16 }; /* of all public networks */

static void print_hex(const char *name, const char *before, const uint8_t *bytes, size_t size)
{
    char text[2 * OVERLAY_BYTES + 1];
    printf("%-11s%s%s\n", name, before, hex_encode(text, bytes_of(bytes, size)));
}

/* Makes it in its own folder when that is asked for. */
static enum err key_file_read(const struct overlay_print *what, uint8_t secret[SIG_SECRET_BYTES],
                              struct error *err)
{
    char dir[PATH_MAX], name[PATH_MAX];
    if (!what->make)
        return ethkey_read(what->key_file, secret, err);
    snprintf(dir, sizeof(dir), "%s", what->key_file);
    snprintf(name, sizeof(name), "%s", what->key_file);
    int fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "the folder of %s", what->key_file);
    enum err rc = ethkey_open(fd, basename(name), secret, err);
    close(fd);
    return rc;
}

static enum err print_batch(const struct overlay_print *what, const uint8_t *owner,
                            struct error *err)
{
    uint8_t id[STAMP_BATCH_BYTES];
    char id_text[2 * STAMP_BATCH_BYTES + 1], owner_text[2 * SIG_ETH_ADDRESS_BYTES + 1];
    uint64_t depth = 0;
    if (units_parse_count(what->batch_depth, &depth, err))
        return error_wrap(err, ERR_USAGE, "--batch-depth");
    if (depth < BUCKET_DEPTH || depth > STAMP_DEPTH_MAX)
        return error_set(err, ERR_USAGE, "--batch-depth is %d to %d: 2^depth chunks", BUCKET_DEPTH,
                         STAMP_DEPTH_MAX);
    secret_random(id, sizeof(id));
    printf("[ { \"id\": \"%s\", \"owner\": \"%s\", \"depth\": %" PRIu64
           ", \"bucket_depth\": %d, \"immutable\": false } ]\n",
           hex_encode(id_text, bytes_of(id, sizeof(id))),
           hex_encode(owner_text, bytes_of(owner, SIG_ETH_ADDRESS_BYTES)), depth, BUCKET_DEPTH);
    return ERR_OK;
}

static enum err of_key(const struct config *c, const struct overlay_print *what, struct error *err)
{
    uint8_t secret[SIG_SECRET_BYTES], nonce[OVERLAY_NONCE_BYTES] = { 0 };
    struct swarm_identity id = { .network_id = 0 };
    enum err rc = key_file_read(what, secret, err);
    rc = rc ? rc : swarm_identity_init(&id, secret, nonce, c->network_id, err);
    secret_wipe(secret, sizeof(secret));
    if (!rc && what->batch_depth)
        rc = print_batch(what, id.ethereum, err);
    else if (!rc)
        print_hex("ethereum", "0x", id.ethereum, sizeof(id.ethereum));
    swarm_identity_wipe(&id);
    return rc;
}

/* Of a node that runs, its folder alone; else under the lock, and made when it is not there. */
static enum err folder_open(const struct config *c, struct datadir *d, int *fd, struct error *err)
{
    enum err rc = datadir_open(d, c->data_dir, err);
    *fd = d->fd;
    if (rc != ERR_LOCKED)
        return rc;
    *fd = open(c->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? rc : ERR_OK;
}

static enum err of_node(const struct config *c, const struct overlay_print *what, struct error *err)
{
    struct datadir d = DATADIR_NONE;
    struct swarm_identity id = { .network_id = 0 };
    struct swarm_prefix prefix = { .bits = 0 };
    int fd = -1;
    if (what->prefix && swarm_prefix_parse(&prefix, what->prefix, err))
        return error_wrap(err, ERR_USAGE, "--prefix");
    enum err rc = folder_open(c, &d, &fd, err);
    rc = rc ? rc : swarm_identity_open(&id, c, fd, err);
    if (fd >= 0 && fd != d.fd)
        close(fd);
    datadir_close(&d);
    if (rc)
        return rc;
    if (what->prefix)
        swarm_nonce_mine(id.nonce, id.overlay, id.ethereum, id.network_id, &prefix);
    print_hex("overlay", "", id.overlay, sizeof(id.overlay));
    print_hex("nonce", "", id.nonce, sizeof(id.nonce));
    print_hex("ethereum", "0x", id.ethereum, sizeof(id.ethereum));
    printf("%-11s%" PRIu64 "\n", "network-id", id.network_id);
    swarm_identity_wipe(&id);
    return ERR_OK;
}

enum err overlay_print(const struct config *c, const struct overlay_print *what, struct error *err)
{
    if (what->key_file && what->prefix)
        return error_set(err, ERR_USAGE, "--prefix is for the node's own key");
    if (!what->key_file && (what->make || what->batch_depth))
        return error_set(err, ERR_USAGE, "--make and --batch-depth go with --key");
    return what->key_file ? of_key(c, what, err) : of_node(c, what, err);
}
