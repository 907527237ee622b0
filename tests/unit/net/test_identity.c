#include "unit.h"
#include "vectors.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/identity.h"

static int dir_open(void)
{
    int fd = open(unit_temp_dir(), O_RDONLY | O_DIRECTORY);
    check(fd >= 0, "folder");
    return fd;
}

static void put_file(int dir, const char *name, struct bytes b, mode_t mode)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && write(fd, b.data, b.size) == (ssize_t)b.size && fchmod(fd, mode) == 0, name);
    close(fd);
}

TEST(a_key_is_made_once)
{
    int dir = dir_open();
    struct peer_secret first, second;
    struct stat st;
    struct error err = { ERR_OK, "" };
    check(!identity_open(dir, "key", &first, &err), err.text);
    check(fstatat(dir, "key", &st, 0) == 0 && (st.st_mode & 0777) == 0600, "for nobody else");
    check(fstatat(dir, "key.new", &st, 0) != 0, "nothing is left over");
    check(!identity_open(dir, "key", &second, &err), err.text);
    check(peer_id_equal(&first.id, &second.id) && first.type == PEER_KEY_ED25519, "the same");
    struct peer_secret other;
    check(!identity_open(dir, "other", &other, &err), err.text);
    check(!peer_id_equal(&first.id, &other.id), "keys are random");
    check(fchmodat(dir, "key", 0640, 0) == 0, "chmod");
    check(identity_open(dir, "key", &second, &err) == ERR_CONFIG, "the group may read it");
    close(dir);
}

TEST(a_crash_before_the_rename_leaves_no_key)
{
    int dir = dir_open();
    struct peer_secret s;
    struct error err = { ERR_OK, "" };
    put_file(dir, "half.new", bytes_of("\x08\x01", 2), 0644);
    check(!identity_open(dir, "half", &s, &err), err.text);
    struct stat st;
    check(fstatat(dir, "half", &st, 0) == 0 && (st.st_mode & 0777) == 0600 && st.st_size == 68,
          "a whole key");
    close(dir);
    int gone = open("/proc/self", O_RDONLY | O_DIRECTORY);
    check(identity_open(gone, "key", &s, &err), "a folder that takes no files");
    close(gone);
}

TEST(keys_of_other_programs)
{
    yajl_val keys = vector_get(vectors_load("libp2p-vectors.json"), "keys");
    int dir = dir_open();
    char path[512];
    snprintf(path, sizeof(path), "%s/theirs", unit_temp_dir());
    for (size_t i = 0; i < vector_count(keys); i++) {
        yajl_val v = vector_at(keys, i);
        uint8_t raw[1300];
        char text[PEER_ID_TEXT_MAX];
        struct peer_secret s;
        struct error err = { ERR_OK, "" };
        size_t size = vector_hex(v, "private_protobuf", raw, sizeof(raw));
        put_file(dir, "theirs", bytes_of(raw, size), 0444);
        enum err rc = identity_read(path, &s, &err);
        if (vector_int(v, "key_type") == PEER_KEY_RSA) {
            check(rc == ERR_CORRUPT, "longer than any key of ours");
            continue;
        }
        check(!rc, err.text);
        check(!strcmp(peer_id_to_text(&s.id, text), vector_text(v, "peer_id_base58")), text);
        put_file(dir, "theirs", bytes_of(raw, size - 1), 0444);
        check(identity_read(path, &s, &err) == ERR_CORRUPT, "cut short");
    }
    struct peer_secret s;
    put_file(dir, "theirs", bytes_of("\x08\x00\x12\x01x", 5), 0444);
    check(identity_read(path, &s, NULL) == ERR_UNSUPPORTED, "an RSA key");
    put_file(dir, "theirs", bytes_of("", 0), 0444);
    check(identity_read(path, &s, NULL) == ERR_CORRUPT, "an empty file");
    snprintf(path, sizeof(path), "%s/nowhere", unit_temp_dir());
    check(identity_read(path, &s, NULL) == ERR_NOT_FOUND, "no file");
    close(dir);
}
