#include "unit.h"
#include "vectors.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/ethkey.h"
#include "net/secret_file.h"

static int dir_open(void)
{
    int fd = open(unit_temp_dir(), O_RDONLY | O_DIRECTORY);
    check(fd >= 0, "folder");
    return fd;
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", unit_temp_dir(), name);
    return path;
}

static void put_file(int dir, const char *name, const char *text, mode_t mode)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
              fchmod(fd, mode) == 0,
          name);
    close(fd);
}

TEST(a_key_is_made_once_and_for_nobody_else)
{
    int dir = dir_open();
    uint8_t first[SIG_SECRET_BYTES], second[SIG_SECRET_BYTES];
    struct stat st;
    struct error err = { ERR_OK, "" };
    check(!ethkey_open(dir, "made", first, &err), err.text);
    check(fstatat(dir, "made", &st, 0) == 0 && (st.st_mode & 0777) == 0600, "mode");
    check(st.st_size == 65 && fstatat(dir, "made.new", &st, 0) != 0, "64 digits and a line end");
    check(!ethkey_open(dir, "made", second, &err), err.text);
    check(!memcmp(first, second, sizeof(first)), "the same");
    check(!ethkey_read(path_of("made"), second, &err), err.text);
    check(!memcmp(first, second, sizeof(first)), "the same by its path");
    check(!ethkey_open(dir, "another", second, &err), err.text);
    check(memcmp(first, second, sizeof(first)) != 0, "keys are random");
    check(fchmodat(dir, "made", 0640, 0) == 0, "chmod");
    check(ethkey_open(dir, "made", second, &err) == ERR_CONFIG, "the group may read it");
    check(!ethkey_read(path_of("made"), second, &err), "which is its owner's affair elsewhere");
    close(dir);
}

TEST(keys_are_read_as_people_write_them)
{
    static const char *const good[] = {
        "1111111111111111111111111111111111111111111111111111111111111111",
        " \n0x1111111111111111111111111111111111111111111111111111111111111111\r\n",
    };
    static const char *const bad[] = {
        "",
        "0x",
        "11111111111111111111111111111111111111111111111111111111111111",
        "111111111111111111111111111111111111111111111111111111111111111111",
        "111111111111111111111111111111111111111111111111111111111111111g",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    int dir = dir_open();
    yajl_val identity = vector_get(vectors_load("swarm-vectors.json"), "identity");
    uint8_t secret[SIG_SECRET_BYTES], want[SIG_ETH_ADDRESS_BYTES], got[SIG_ETH_ADDRESS_BYTES];
    check(vector_hex(identity, "ethereum_address", want, sizeof(want)) == sizeof(want), "address");
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct sig_signer signer;
        struct error err = { ERR_OK, "" };
        put_file(dir, "good", good[i], 0600);
        check(!ethkey_open(dir, "good", secret, &err), err.text);
        check(!ethkey_signer(&signer, secret, &err), err.text);
        sig_signer_eth_address(&signer, got);
        check(!memcmp(got, want, sizeof(got)), "the address of that key");
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error err = { ERR_OK, "" };
        put_file(dir, "bad", bad[i], 0600);
        check(ethkey_read(path_of("bad"), secret, &err) == ERR_CORRUPT, bad[i]);
        check(strstr(err.text, "holds no Ethereum key"), err.text);
    }
    check(ethkey_read(path_of("missing"), secret, NULL) == ERR_NOT_FOUND, "no file");
    close(dir);
}

TEST(a_secret_file_is_whole_or_not_there)
{
    int dir = dir_open();
    struct secret_file file;
    struct error err = { ERR_OK, "" };
    char large[LIMIT_IDENTITY_FILE_BYTES + 2];
    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    put_file(dir, "large", large, 0600);
    check(secret_file_open(dir, "large", &file, &err) == ERR_CORRUPT, "one byte too long");
    check(secret_file_open(dir, "nothing", &file, &err) == ERR_NOT_FOUND, "none");
    put_file(dir, "half.new", "left by a crash", 0644);
    check(!secret_file_make(dir, "half", bytes_of("new", 3), &err), err.text);
    check(!secret_file_open(dir, "half", &file, &err), err.text);
    check(bytes_equal(secret_file_bytes(&file), bytes_of("new", 3)), "what was given");
    secret_file_wipe(&file);
    check(file.size == 0 && file.data[0] == 0, "wiped");
    close(dir);
}
