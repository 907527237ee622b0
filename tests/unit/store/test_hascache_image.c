#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/hascache_image.h"

enum { KEYS = 50000 };

static const struct mem_row rows[] = {
    { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 50, 90, true },
};
static const struct hascache_image_name name = { 42, 7 };

static struct mem_plan *plan_of(uint64_t setting)
{
    struct mem_plan *plan = NULL;
    check(!mem_plan_create(&plan, setting, rows, 1, NULL), "plan");
    return plan;
}

static struct hascache_hash hash_of(const struct hascache *h, uint32_t i)
{
    struct chunk_id id = { { 0 }, { 0 }, { 0 } };
    struct hascache_hash k;
    memcpy(id.stamp_hash, &i, sizeof(i));
    hascache_key(h, &id, &k);
    return k;
}

static const char *path_of(const char *file)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", unit_temp_dir(), file);
    return path;
}

/* Saves KEYS members, all even numbers. */
static void save(struct mem_plan *plan, const char *path)
{
    struct hascache_options o = { .key = "a secret" };
    struct hascache *h = NULL;
    struct error err = { ERR_OK, "" };
    check(!hascache_create(&h, mem_plan_find(plan, "hascache"), &o, &err), err.text);
    for (uint32_t i = 0; i < KEYS; i++) {
        struct hascache_hash k = hash_of(h, 2 * i);
        check(hascache_add(h, &k) == HASCACHE_ADDED, "add");
    }
    hascache_built(h);
    check(!hascache_image_save(h, path, &name, &err), err.text);
    hascache_destroy(h);
}

static enum err load(struct hascache **out, struct mem_plan *plan, const char *path,
                     struct error *err)
{
    struct hascache_image image = { .count = 0 };
    struct hascache *h = NULL;
    enum err rc = hascache_image_open(&image, path, err);
    if (!rc)
        rc = hascache_image_room(&image, &h, mem_plan_find(plan, "hascache"), 0, err);
    if (!rc)
        rc = hascache_image_read(&image, h, err);
    if (!rc)
        check(image.name.epoch == 42 && image.name.generation == 7 && image.count == KEYS, "name");
    hascache_image_close(&image);
    if (rc)
        hascache_destroy(h);
    else
        *out = h;
    return rc;
}

TEST(what_was_saved_is_loaded)
{
    struct mem_plan *plan = plan_of(128 * MiB);
    struct error err = { ERR_OK, "" };
    struct hascache *h = NULL;
    struct stat st;
    const char *path = path_of("image");
    check(load(&h, plan, path, &err) == ERR_NOT_FOUND, "none yet");
    save(plan, path);
    check(!stat(path, &st) && (st.st_mode & 0777) == 0600, "nobody else may read the key");
    check(!load(&h, plan, path, &err), err.text);
    check(hascache_state(h) == HASCACHE_COMPLETE && hascache_count(h) == KEYS, "complete");
    check(!hascache_check(h, &err), err.text);
    for (uint32_t i = 0; i < 2 * KEYS; i++) {
        struct hascache_hash k = hash_of(h, i);
        check(hascache_has(h, &k) == (i % 2 == 0), "the same members");
    }
    for (uint32_t i = 0; i < 4 * KEYS; i++) { /* and it goes on living */
        struct hascache_hash k = hash_of(h, i);
        check(i % 2 == 0 && i < 2 * KEYS ? hascache_remove(h, &k)
                                         : hascache_add(h, &k) == HASCACHE_ADDED,
              "change");
    }
    check(!hascache_check(h, &err), err.text);
    hascache_destroy(h);
    check(plan->used_bytes == 0, "nothing is left");
    mem_plan_destroy(plan);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    check(fd >= 0 && pread(fd, &byte, 1, at) == 1, "read");
    byte ^= 0x10;
    check(pwrite(fd, &byte, 1, at) == 1, "write");
    close(fd);
}

/* Every byte of the header, and bytes all over the rest. */
TEST(a_flipped_byte_is_refused)
{
    struct mem_plan *plan = plan_of(128 * MiB);
    struct error err = { ERR_OK, "" };
    struct hascache *h = NULL;
    struct stat st;
    const char *path = path_of("flipped");
    save(plan, path);
    check(!stat(path, &st), "there");
    for (off_t at = 0; at < st.st_size; at += at < 4096 ? 1 : 10007) {
        flip(path, at);
        enum err rc = load(&h, plan, path, &err);
        check(rc == ERR_CORRUPT || rc == ERR_FOREIGN, "refused");
        check(plan->used_bytes == 0, "nothing is left");
        flip(path, at);
    }
    flip(path, st.st_size - 1); /* the last sum */
    check(load(&h, plan, path, &err) == ERR_CORRUPT, "refused");
    mem_plan_destroy(plan);
}

TEST(a_file_of_another_length_is_refused)
{
    struct mem_plan *plan = plan_of(128 * MiB);
    struct error err = { ERR_OK, "" };
    struct hascache *h = NULL;
    struct stat st;
    const char *path = path_of("length");
    save(plan, path);
    check(!stat(path, &st), "there");
    check(!truncate(path, st.st_size + 1), "longer");
    check(load(&h, plan, path, &err) == ERR_CORRUPT, err.text);
    for (off_t size = st.st_size - 1; size > 0; size = size * 3 / 4) {
        check(!truncate(path, size), "shorter");
        check(load(&h, plan, path, &err) == ERR_CORRUPT, err.text);
    }
    mem_plan_destroy(plan);
}

TEST(an_image_that_does_not_fit_is_refused)
{
    struct mem_plan *plan = plan_of(128 * MiB);
    struct mem_owner *mem = mem_plan_find(plan, "hascache");
    struct error err = { ERR_OK, "" };
    struct hascache *h = NULL;
    struct hascache_image image = { .count = 0 };
    const char *path = path_of("fit");
    save(plan, path);
    check(!hascache_image_open(&image, path, &err), err.text);
    check(hascache_image_room(&image, &h, mem, 1 * MiB, &err) == ERR_BUDGET, err.text);
    for (uint32_t nth = 1; nth <= 6; nth++) {
        mem_fault_at(nth);
        check(hascache_image_room(&image, &h, mem, 0, &err) == ERR_BUDGET, "each take refused");
        mem_fault_at(0);
        check(plan->used_bytes == 0, "nothing is left");
    }
    hascache_image_close(&image);
    mem_plan_destroy(plan);
}
