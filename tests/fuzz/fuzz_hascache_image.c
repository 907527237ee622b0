/* The image of a has-cache with sums that fit: the input overwrites parts of a good one, as records
 * of offset[4] size[1] bytes. What is taken passes its own check. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/prng.h"
#include "store/hascache_image.h"

enum { HEADER_BYTES = 4096, HEADER_USED = 76, ENTRIES = 3000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mem_row rows[] = {
    { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 50, 90, true },
};
static struct mem_owner *owner;
static char path[64];
static uint8_t good[4 * MiB];
static size_t good_size;

static void make_good(void)
{
    struct mem_plan *plan = NULL;
    struct hascache *h = NULL;
    struct hascache_options o = { .key = "fuzz" };
    struct hascache_image_name name = { 1, 2 };
    struct prng p = prng_of(1);
    err_ignore(mem_plan_create(&plan, 128 * MiB, rows, 1, NULL));
    owner = mem_plan_find(plan, "hascache");
    snprintf(path, sizeof(path), "/tmp/larder-fuzz-%d.image", (int)getpid());
    err_ignore(hascache_create(&h, owner, &o, NULL));
    for (int i = 0; i < ENTRIES; i++) {
        struct hascache_hash k = hascache_hash_of(prng_next(&p), (uint16_t)prng_next(&p));
        (void)hascache_add(h, &k);
    }
    hascache_built(h);
    err_ignore(hascache_image_save(h, path, &name, NULL));
    hascache_destroy(h);
    FILE *f = fopen(path, "rb");
    assert(f);
    good_size = fread(good, 1, sizeof(good), f);
    fclose(f);
    unlink(path);
}

/* Sums of header, directory, segments and pages, as the header has their sizes. */
static void fix_sums(uint8_t *image, size_t size)
{
    uint64_t sections[3] = { UINT64_C(4) << (le32_decode(image + 32) & 31),
                             (uint64_t)le32_decode(image + 36) * le32_decode(image + 44),
                             (uint64_t)le32_decode(image + 40) * 4096 };
    uint64_t at = HEADER_BYTES;
    for (uint32_t i = 0; i < 3 && at + sections[i] + 4 <= size && sections[i] < size; i++) {
        le32_encode(image + at + sections[i], crc32c(i, bytes_of(image + at, (size_t)sections[i])));
        at += sections[i] + 4;
    }
    le32_encode(image + HEADER_USED - 4, crc32c(0, bytes_of(image, HEADER_USED - 4)));
}

static void write_image(const uint8_t *data, size_t size)
{
    static uint8_t image[sizeof(good)];
    memcpy(image, good, good_size);
    while (size >= 5 && size - 5 >= data[4]) {
        uint32_t at = le32_decode(data) % (uint32_t)good_size, n = data[4];
        if (at + n <= good_size)
            memcpy(image + at, data + 5, n);
        data += 5 + n;
        size -= 5 + n;
    }
    fix_sums(image, good_size);
    FILE *f = fopen(path, "wb");
    assert(f && fwrite(image, 1, good_size, f) == good_size);
    fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hascache_image image = { .count = 0 };
    struct hascache *h = NULL;
    if (!owner)
        make_good();
    write_image(data, size);
    if (!hascache_image_open(&image, path, NULL) &&
        !hascache_image_room(&image, &h, owner, 64 * MiB, NULL) &&
        !hascache_image_read(&image, h, NULL)) {
        struct hascache_hash k = hascache_hash_of(7, 7);
        if (!hascache_check(h, NULL)) {
            (void)hascache_add(h, &k);
            assert(hascache_has(h, &k) || hascache_state(h) == HASCACHE_PARTIAL);
        }
    }
    hascache_image_close(&image);
    hascache_destroy(h);
    unlink(path);
    assert(owner->used_bytes == 0);
    return 0;
}
