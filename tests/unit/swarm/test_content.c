/* Files and folders through a reserve and back. */
#include "unit.h"

#include "reserve_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/prng.h"
#include "core/work.h"
#include "swarm/download.h"
#include "swarm/upload.h"

static struct world w;
static struct sig_signer signer;
static uint8_t reference[CHUNK_ADDRESS_BYTES];
static uint32_t progresses;
static struct upload *cancel_at_progress;

static const char *path_of(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, 512, "%s/%s", unit_temp_dir(), name);
    return path;
}

static void put_file(const char *name, uint64_t seed, size_t size)
{
    FILE *f = fopen(path_of(name), "w");
    struct prng p = prng_of(seed);
    check(f != NULL, name);
    for (uint8_t buf[4096]; size > 0; size -= MIN(size, sizeof(buf))) {
        prng_fill(&p, buf, sizeof(buf));
        check(fwrite(buf, 1, MIN(size, sizeof(buf)), f) > 0, name);
    }
    fclose(f);
}

static bool same_file(const char *a, const char *b)
{
    FILE *f = fopen(path_of(a), "r"), *g = fopen(path_of(b), "r");
    check(f && g, b);
    int x, y;
    do {
        x = getc(f);
        y = getc(g);
    } while (x == y && x != EOF);
    fclose(f);
    fclose(g);
    return x == y;
}

static void arrived(const struct error *err)
{
    error_clear(&w.err);
    if (err)
        w.err = *err;
    w.waits--;
    loop_stop(w.loop);
}

static void on_progress(void *ctx UNUSED, const struct upload_progress *now)
{
    progresses++;
    check(now->chunks > 0 && now->stored <= now->chunks, "counts");
    if (cancel_at_progress)
        upload_cancel(cancel_at_progress);
}

static void on_uploaded(void *ctx UNUSED, const uint8_t *made, const struct error *err)
{
    memcpy(reference, made, sizeof(reference));
    arrived(err);
}

static void on_down_progress(void *ctx UNUSED, const struct download_progress *now UNUSED)
{
    progresses++;
}

static void on_downloaded(void *ctx UNUSED, const struct error *err)
{
    arrived(err);
}

static enum err upload_as(const char *name, uint8_t depth, bool cancel, uint64_t *stored)
{
    static char path[512], dir[512];
    struct upload *u = NULL;
    struct upload_progress now;
    struct error err = { ERR_OK, "" };
    struct upload_options o = { .loop = w.loop,
                                .work = w.pool,
                                .reserve = w.reserve,
                                .mem = mem_plan_find(w.plan, "putqueue"),
                                .path = path,
                                .issuer_dir = dir,
                                .rules = { .depth = depth, .bucket_depth = 8 },
                                .signer = &signer,
                                .progress = on_progress,
                                .done = on_uploaded };
    snprintf(path, sizeof(path), "%s", path_of(name));
    snprintf(dir, sizeof(dir), "%s", path_of("stamps"));
    memset(o.batch, 0xa0 + depth, sizeof(o.batch));
    sig_signer_eth_address(&signer, o.rules.owner);
    check(!upload_start(&u, &o, &err), err.text);
    cancel_at_progress = cancel ? u : NULL;
    w.waits = 1;
    enum err rc = world_await(&w);
    upload_status(u, &now);
    if (stored)
        *stored = now.stored;
    upload_destroy(u);
    return rc;
}

static enum err download_as(const char *name, bool raw)
{
    static char path[512];
    struct download *d = NULL;
    struct error err = { ERR_OK, "" };
    struct download_options o = { .loop = w.loop,
                                  .work = w.pool,
                                  .reserve = w.reserve,
                                  .mem = mem_plan_find(w.plan, "putqueue"),
                                  .path = path,
                                  .raw = raw,
                                  .progress = on_down_progress,
                                  .done = on_downloaded };
    snprintf(path, sizeof(path), "%s", path_of(name));
    memcpy(o.reference, reference, sizeof(o.reference));
    check(!download_start(&d, &o, &err), err.text);
    w.waits = 1;
    enum err rc = world_await(&w);
    download_destroy(d);
    return rc;
}

static void begin(void)
{
    uint8_t secret[SIG_SECRET_BYTES];
    memset(secret, 0x11, sizeof(secret));
    check(!sig_signer_init(&signer, secret, secret, NULL), "a signer");
    world_setup(&w, unit_temp_dir());
    world_open(&w, RESERVE_CACHE_ON);
}

static void end(void)
{
    world_settle(&w);
    world_check(&w);
    world_close(&w);
    world_teardown(&w);
    sig_signer_wipe(&signer);
}

static uint64_t entries(void)
{
    struct reserve_status st;
    reserve_status(w.reserve, &st);
    return st.count;
}

TEST(files_come_back_as_they_were)
{
    static const size_t sizes[] = { 0, 1, 4096, 4097, 4096 * 128, 4096 * 128 + 1, 3000001 };
    begin();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint64_t before = entries(), stored = 0;
        put_file("file", i + 1, sizes[i]);
        check(!upload_as("file", 20, false, &stored), w.err.text);
        check(entries() == before + stored && stored > 0, "each chunk once");
        check(!download_as("back", false), w.err.text);
        check(same_file("file", "back"), "identical");
        check(access(path_of("back.part"), F_OK) != 0, "nothing left over");
        check(!upload_as("file", 20, false, &stored) && stored == 0, "nothing is stored twice");
        check(!upload_as("file", 21, false, &stored) && stored > 0, "but another batch stamps it");
    }
    check(progresses > 0, "it was told");
    end();
}

TEST(zeros_take_one_stamp)
{
    uint64_t stored = 0;
    begin();
    FILE *f = fopen(path_of("zeros"), "w");
    check(f && ftruncate(fileno(f), 8 * MiB) == 0 && fclose(f) == 0, "a file of zeros");
    check(!upload_as("zeros", 9, false, &stored), w.err.text);
    check(stored == 3, "a leaf, a full chunk of references, the root");
    check(!download_as("zeros-back", false), w.err.text);
    check(same_file("zeros", "zeros-back"), "identical");
    end();
}

TEST(folders_come_back_with_their_names)
{
    uint64_t stored = 0;
    begin();
    mkdir(path_of("tree"), 0755);
    mkdir(path_of("tree/sub"), 0755);
    put_file("tree/index.html", 1, 10);
    put_file("tree/sub/a-name-that-is-longer-than-thirty-bytes-and-more.bin", 2, 600000);
    put_file("tree/sub/empty", 3, 0);
    check(!upload_as("tree", 20, false, &stored), w.err.text);
    check(!download_as("tree-back", false), w.err.text);
    check(same_file("tree/index.html", "tree-back/index.html"), "one");
    check(same_file("tree/sub/empty", "tree-back/sub/empty"), "two");
    check(same_file("tree/sub/a-name-that-is-longer-than-thirty-bytes-and-more.bin",
                    "tree-back/sub/a-name-that-is-longer-than-thirty-bytes-and-more.bin"),
          "three");
    check(download_as("tree-back", false) == ERR_REFUSED, "not into a folder that has something");
    check(!download_as("manifest", true), "the bytes of it");
    reference[0] ^= 1;
    check(download_as("nowhere", false) == ERR_NOT_FOUND, "no such chunk");
    check(strstr(w.err.text, "is not in the reserve"), w.err.text);
    mkdir(path_of("void"), 0755);
    check(upload_as("void", 20, false, NULL) == ERR_USAGE, "no files");
    check(upload_as("nowhere", 20, false, NULL) == ERR_NOT_FOUND, "no folder");
    end();
}

TEST(lost_counters_are_made_again_and_an_upload_can_be_canceled)
{
    uint64_t stored = 0, before;
    char counters[600], id[65];
    begin();
    put_file("first", 101, 2000000);
    put_file("second", 102, 2000000);
    check(!upload_as("first", 20, false, &stored), w.err.text);
    before = entries();
    memset(reference, 0xa0 + 20, 32);
    snprintf(counters, sizeof(counters), "%s/%s.stamps", path_of("stamps"),
             hex_encode(id, bytes_of(reference, 32)));
    check(unlink(counters) == 0, "the counters are lost");
    check(!upload_as("second", 20, false, &stored), w.err.text);
    check(entries() == before + stored && stored > 400, "no stamp took the place of another");
    put_file("third", 103, 9000000);
    check(upload_as("third", 20, true, &stored) == ERR_CANCELED, "canceled");
    check(stored < 2000, "before its end");
    cancel_at_progress = NULL;
    put_file("fourth", 104, 4000000);
    check(upload_as("fourth", 10, false, &stored) == ERR_LIMIT, "four stamps a bucket");
    check(strstr(w.err.text, "is full"), w.err.text);
    end();
}

TEST(another_key_and_no_memory_are_refused)
{
    struct upload *u = NULL;
    struct error err = { ERR_OK, "" };
    begin();
    struct upload_options o = { .loop = w.loop,
                                .work = w.pool,
                                .reserve = w.reserve,
                                .mem = mem_plan_find(w.plan, "putqueue"),
                                .path = "/nowhere at all",
                                .issuer_dir = "/",
                                .rules = { .depth = 20, .bucket_depth = 16 },
                                .signer = &signer,
                                .progress = on_progress,
                                .done = on_uploaded };
    check(upload_start(&u, &o, &err) == ERR_REFUSED, "the owner is nobody");
    sig_signer_eth_address(&signer, o.rules.owner);
    for (uint64_t n = 1; n < 20; n++) {
        uint64_t used = o.mem->used_bytes;
        mem_fault_at(n);
        enum err rc = upload_start(&u, &o, &err);
        mem_fault_at(0);
        check(rc == ERR_BUDGET || rc == ERR_OK, err.text);
        if (rc) {
            check(o.mem->used_bytes == used, "all is given back");
            continue;
        }
        w.waits = 1;
        (void)world_await(&w); /* it ends as it likes */
        upload_destroy(u);
        break;
    }
    end();
}
