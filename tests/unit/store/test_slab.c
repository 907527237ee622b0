#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "store/slab.h"

static const struct mem_row rows[] = {
    { "putqueue", "sessions wait", MEM_ELASTIC, 1 * MiB, 50, 90, true },
};

static struct mem_plan *plan_of(void)
{
    struct mem_plan *plan = NULL;
    check(!mem_plan_create(&plan, 128 * MiB, rows, 1, NULL), "plan");
    return plan;
}

static const char *dir_of(const char *name)
{
    static char dir[256];
    snprintf(dir, sizeof(dir), "%s/%s", unit_temp_dir(), name);
    return dir;
}

static struct slab_record record_of(uint8_t *bytes, uint32_t seed, size_t size)
{
    struct prng p = prng_of(seed);
    prng_fill(&p, bytes, 32 + SLAB_STAMP_BYTES + size);
    return (struct slab_record){ 1, seed, bytes, bytes + 32,
                                 bytes_of(bytes + 32 + SLAB_STAMP_BYTES, size) };
}

static void expect_record(const struct slab_files *f, struct slab_ref ref, uint32_t seed,
                          size_t size)
{
    uint8_t bytes[SLAB_SLOT_BYTES], slot[SLAB_SLOT_BYTES];
    struct slab_record want = record_of(bytes, seed, size), got;
    struct error err = { ERR_OK, "" };
    check(!slab_files_read(f, ref, slot, &got, &err), err.text);
    check(got.type == 1 && got.seq == seed && !memcmp(got.address, want.address, 32) &&
              !memcmp(got.stamp, want.stamp, SLAB_STAMP_BYTES) && bytes_equal(got.data, want.data),
          "what was written is read");
}

TEST(slots_survive_closing_and_show_damage)
{
    static struct slab_files f;
    const char *dir = dir_of("files");
    uint8_t bytes[SLAB_SLOT_BYTES], slot[SLAB_SLOT_BYTES];
    struct slab_record rec;
    struct error err = { ERR_OK, "" };
    static const struct {
        struct slab_ref ref;
        size_t size;
    } cases[] = {
        { { 0, 0 }, SLAB_DATA_BYTES_MAX },
        { { 0, 1 }, 8 },
        { { 0, SLAB_STEP_SLOTS }, 4104 },
        { { 3, 7 }, 100 },
    };
    check(!slab_files_open(&f, dir, &err), err.text);
    check(slab_files_read(&f, cases[0].ref, slot, &rec, &err) == ERR_CORRUPT, "no file yet");
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        rec = record_of(bytes, i, cases[i].size);
        check(!slab_files_write(&f, cases[i].ref, &rec, &err), err.text);
    }
    check(!slab_files_sync(&f, &err), err.text);
    slab_files_close(&f);
    check(!slab_files_open(&f, dir, &err), err.text);
    check(f.steps[0] == 2 && f.steps[1] == 0 && f.steps[3] == 1, "files grow in steps");
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_record(&f, cases[i].ref, i, cases[i].size);
    check(slab_files_read(&f, (struct slab_ref){ 0, 2 }, slot, &rec, &err) == ERR_CORRUPT, "empty");
    check(!slab_files_truncate(&f, 0, 1, &err), err.text);
    check(slab_files_read(&f, cases[2].ref, slot, &rec, &err) == ERR_CORRUPT, "cut off");
    for (off_t at = 0; at < SLAB_SLOT_BYTES; at += at < 200 ? 1 : 97) {
        uint8_t byte;
        check(pread(f.fd[3], &byte, 1, 7 * SLAB_SLOT_BYTES + at) == 1, "read");
        byte ^= 4;
        check(pwrite(f.fd[3], &byte, 1, 7 * SLAB_SLOT_BYTES + at) == 1, "write");
        check(slab_files_read(&f, cases[3].ref, slot, &rec, &err) == ERR_CORRUPT, "a flipped bit");
        byte ^= 4;
        check(pwrite(f.fd[3], &byte, 1, 7 * SLAB_SLOT_BYTES + at) == 1, "write");
    }
    expect_record(&f, cases[3].ref, 3, 100);
    slab_files_close(&f);
}

/* Neighbours go to the file together; what was given up does not go there at all. */
TEST(runs_hold_what_was_written_in_any_order)
{
    enum { WRITES = 3 * SLAB_RUN_SLOTS };
    static struct slab_files f;
    static uint8_t run[SLAB_RUN_SLOTS * SLAB_SLOT_BYTES];
    uint8_t bytes[SLAB_SLOT_BYTES], slot[SLAB_SLOT_BYTES];
    struct slab_record rec;
    struct error err = { ERR_OK, "" };
    check(!slab_files_open(&f, dir_of("runs"), &err), err.text);
    for (uint32_t i = 0; i < WRITES; i++) { /* neighbours, with three gaps and a step back */
        struct slab_ref ref = { i / 40, i == 20 ? 100 : i == 30 ? 90 : i };
        rec = record_of(bytes, i, 8 + i);
        check(!slab_files_write(&f, ref, &rec, &err), err.text);
    }
    check(!slab_files_flush(&f, &err), err.text);
    for (uint32_t i = 0; i < WRITES; i++) {
        struct slab_ref ref = { i / 40, i == 20 ? 100 : i == 30 ? 90 : i };
        expect_record(&f, ref, i, 8 + i);
    }
    check(slab_files_read_run(&f, (struct slab_ref){ 0, 3 }, SLAB_RUN_SLOTS, run) == SLAB_RUN_SLOTS,
          "a run is read at once");
    check(!slab_slot_decode(bytes_of(run + SLAB_SLOT_BYTES, SLAB_SLOT_BYTES), &rec, NULL) &&
              rec.seq == 4,
          "slot by slot");
    struct slab_ref last = { 0, SLAB_STEP_SLOTS - 2 };
    check(slab_files_read_run(&f, last, SLAB_RUN_SLOTS, run) == 2, "up to the end of the file");
    rec = record_of(bytes, 1, 8);
    check(!slab_files_write(&f, (struct slab_ref){ 0, 200 }, &rec, &err), err.text);
    slab_files_drop(&f);
    check(!slab_files_sync(&f, &err), err.text);
    check(slab_files_read(&f, (struct slab_ref){ 0, 200 }, slot, &rec, &err) == ERR_CORRUPT,
          "its writer gave up");
    slab_files_close(&f);
}

TEST(a_slab_nobody_made_is_refused)
{
    static struct slab_files f;
    char path[300];
    const char *dir = dir_of("foreign");
    struct error err = { ERR_OK, "" };
    check(!slab_files_open(&f, dir, &err), err.text);
    slab_files_close(&f);
    snprintf(path, sizeof(path), "%s/reserve.999.slab", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    check(slab_files_open(&f, dir, &err) == ERR_FOREIGN, err.text);
    slab_files_close(&f);
}

TEST(the_lowest_slot_of_the_fullest_slab_is_taken)
{
    enum { N = SLAB_STEP_SLOTS + 100 };
    static struct slab_ref ref[N];
    uint32_t steps[LIMIT_SLABS] = { 0 };
    struct mem_plan *plan = plan_of();
    struct slab_map *m = NULL;
    check(!slab_map_create(&m, mem_plan_find(plan, "putqueue"), steps, NULL), "map");
    slab_map_derived(m);
    for (uint32_t i = 0; i < N; i++) {
        check(slab_map_take(m, &ref[i]), "room");
        check(ref[i].slab == 0 && ref[i].slot == i, "one after the other");
    }
    slab_map_free(m, ref[500]);
    slab_map_free(m, ref[7]);
    struct slab_ref again;
    check(slab_map_take(m, &again) && again.slot == 7, "the lowest first");
    check(slab_map_take(m, &again) && again.slot == 500, "then the next");
    uint32_t slab, left;
    check(!slab_map_trim(m, &slab, &left), "nothing to cut");
    for (uint32_t i = 50; i < N; i++)
        slab_map_free(m, ref[i]);
    check(!slab_map_trim(m, &slab, &left) && slab_map_used(m) == 50, "one empty step is kept");
    for (uint32_t i = 0; i < 50; i++)
        slab_map_free(m, ref[i]);
    check(slab_map_trim(m, &slab, &left) && slab == 0 && left == 1, "two are not");
    slab_map_destroy(m);
    check(plan->used_bytes == 0, "nothing is left");
    mem_plan_destroy(plan);
}

TEST(a_freed_slot_waits_for_reads_that_were_under_way)
{
    uint32_t steps[LIMIT_SLABS] = { 0 };
    struct mem_plan *plan = plan_of();
    struct slab_map *m = NULL;
    struct slab_ref a, b;
    check(!slab_map_create(&m, mem_plan_find(plan, "putqueue"), steps, NULL), "map");
    slab_map_derived(m);
    check(slab_map_take(m, &a), "room");
    unsigned first = slab_map_enter(m);
    slab_map_free(m, a);
    unsigned second = slab_map_enter(m); /* began after: does not hold it */
    check(slab_map_take(m, &b) && b.slot != a.slot, "not while the first reads");
    slab_map_leave(m, first);
    check(slab_map_take(m, &b) && b.slot == a.slot, "the second began later");
    slab_map_leave(m, second);
    slab_map_destroy(m);
    mem_plan_destroy(plan);
}

TEST(until_slots_are_derived_old_steps_are_closed)
{
    uint32_t steps[LIMIT_SLABS] = { 1 };
    struct mem_plan *plan = plan_of();
    struct slab_map *m = NULL;
    struct slab_ref a, old = { 0, 5 }, gone = { 0, 6 };
    check(!slab_map_create(&m, mem_plan_find(plan, "putqueue"), steps, NULL), "map");
    check(slab_map_take(m, &a) && a.slot == SLAB_STEP_SLOTS, "past the last step");
    slab_map_free(m, gone); /* evicted, and a late slice names it */
    check(slab_map_mark(m, old) && slab_map_mark(m, gone), "what the index names");
    check(!slab_map_mark(m, old), "none twice");
    check(!slab_map_mark(m, (struct slab_ref){ 9, 9 }), "nor what is not there");
    slab_map_derived(m);
    check(slab_map_used(m) == 2, "the evicted one is free");
    for (uint32_t i = 0; i < 6; i++)
        check(slab_map_take(m, &a), "room");
    check(a.slab == 0 && a.slot == 6, "old slots are used again, but not the one in use");
    slab_map_destroy(m);
    mem_plan_destroy(plan);
}

TEST(refused_memory_is_an_answer)
{
    uint32_t steps[LIMIT_SLABS] = { 2, 1 };
    struct mem_plan *plan = plan_of();
    struct mem_owner *mem = mem_plan_find(plan, "putqueue");
    struct slab_map *m = NULL;
    struct error err = { ERR_OK, "" };
    for (uint32_t nth = 1; nth <= 6; nth++) {
        mem_fault_at(nth);
        check(slab_map_create(&m, mem, steps, &err) == ERR_BUDGET, err.text);
        mem_fault_at(0);
        check(mem->used_bytes == 0, "nothing is left");
    }
    check(!slab_map_create(&m, mem, steps, &err), err.text);
    struct slab_ref ref;
    mem_fault_at(1);
    check(!slab_map_take(m, &ref), "no step");
    mem_fault_at(0);
    check(slab_map_take(m, &ref), "later");
    slab_map_destroy(m);
    mem_plan_destroy(plan);
}
