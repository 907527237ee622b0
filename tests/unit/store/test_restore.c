/* A restore that is killed between any two of its steps leaves a directory that nobody takes for a
 * node's. The restore is this program again, in another role; what it did not sync is cut off. */
#include "reserve_world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/backup.h"
#include "store/durable.h"
#include "store/restore.h"

enum { CHUNKS = 40, STEPS = 3 }; /* index, bodies, keys */

static const char *const keys[] = { "swarm-key", NULL };
static struct error err;

static const char *path_of(const char *name)
{
    static char paths[6][320];
    static unsigned next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    const char *dir = getenv("LARDER_RESTORE_DIR");
    snprintf(path, sizeof(paths[0]), "%s/%s", dir ? dir : unit_temp_dir(), name);
    return path;
}

static bool is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static struct durable_record *map_record(void)
{
    int fd = open(path_of("record"), O_RDWR | O_CREAT, 0600);
    check(fd >= 0 && !ftruncate(fd, DURABLE_RECORD_BYTES), "a record");
    void *at = mmap(NULL, DURABLE_RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(at != MAP_FAILED, "shared memory");
    close(fd);
    return at;
}

/* ---- the restore, in a process of its own ---- */

static int steps_left; /* until it is killed */

static void on_step(void *ctx UNUSED, const char *store UNUSED, uint64_t records UNUSED,
                    uint64_t bytes UNUSED)
{
    if (--steps_left == 0)
        kill(getpid(), SIGKILL);
}

static enum err restore(const char *to)
{
    static const struct mem_row row = { "stores", "", MEM_FIXED, 16 * MiB, 50, 50, true };
    char slabs[340];
    struct mem_plan *plan;
    snprintf(slabs, sizeof(slabs), "%s/" SLAB_DIR_NAME, to);
    check(!mem_plan_create(&plan, 256 * MiB, &row, 1, &err), err.text);
    const struct restore_options o = { .backup_dir = path_of("backup"),
                                       .data_dir = to,
                                       .slab_dir = slabs,
                                       .identity = keys,
                                       .rows = &world_row,
                                       .count = 1,
                                       .mem = mem_plan_find(plan, "stores"),
                                       .progress = on_step };
    enum err rc = restore_run(&o, &err);
    mem_plan_destroy(plan);
    return rc;
}

static bool play_role(void)
{
    const char *steps = getenv("LARDER_RESTORE_STEPS");
    if (!steps)
        return false;
    steps_left = atoi(steps);
    durable_record_start(map_record(), false);
    check(!restore(path_of("copy")), err.text);
    return true;
}

/* Killed after so many steps; 0: not at all. */
static void restore_and_kill(int steps)
{
    char text[16];
    int status = 0;
    struct durable_record *record = map_record();
    mkdir(path_of("copy"), 0700);
    snprintf(text, sizeof(text), "%d", steps);
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        setenv("LARDER_RESTORE_DIR", unit_temp_dir(), 1);
        setenv("LARDER_RESTORE_STEPS", text, 1);
        execl("/proc/self/exe", "restore", (char *)NULL);
        _exit(127);
    }
    check(waitpid(pid, &status, 0) == pid, "it ends");
    check(steps ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : status == 0, "as it was to");
    check(!durable_cut(record, path_of("copy"), &err), err.text);
    munmap(record, DURABLE_RECORD_BYTES);
    unlink(path_of("record"));
}

static void remove_copy(void)
{
    char command[400];
    snprintf(command, sizeof(command), "rm -rf '%s'", path_of("copy"));
    check(system(command) == 0, command);
}

/* ---- the backup ---- */

static struct world w;

static void on_progress(void *ctx UNUSED, const struct backup_progress *now UNUSED)
{
}

static void make_backup(void)
{
    struct backup *b = NULL;
    world_setup(&w, path_of("node"));
    int fd = open(path_of("node/swarm-key"), O_WRONLY | O_CREAT, 0600);
    check(write(fd, "key", 3) == 3 && !close(fd), "a key");
    world_open(&w, RESERVE_CACHE_AUTO);
    for (uint32_t i = 1; i <= CHUNKS; i++)
        check(world_put(&w, &(struct chunk_spec){ i, 1, i, 1, 0 }) == RESERVE_STORED, "a chunk");
    const struct backup_options o = { .stores = w.stores,
                                      .loop = w.loop,
                                      .work = w.pool,
                                      .mem = mem_plan_find(w.plan, "putqueue"),
                                      .dir = path_of("backup"),
                                      .slab_dir = w.slabs,
                                      .reserve = w.reserve,
                                      .data_dir = w.dir,
                                      .identity = keys,
                                      .progress = on_progress,
                                      .done = world_cb,
                                      .ctx = &w };
    w.waits = 1;
    check(!backup_start(&b, &o, &err) && !world_await(&w), w.err.text);
    backup_destroy(b);
    world_close(&w);
    world_teardown(&w);
}

TEST(a_restore_that_was_killed_between_two_steps_is_no_node)
{
    if (play_role())
        return;
    make_backup();
    for (int steps = 1; steps <= STEPS; steps++) {
        restore_and_kill(steps);
        check(is_there("copy/reserve"), "there is something to mistake for a node");
        check(is_there("copy/slabs/reserve.000.slab") == (steps >= 2), "bodies come second");
        check(is_there("copy/swarm-key") == (steps >= 3), "and keys last");
        check(restore_check_ended(path_of("copy"), &err) == ERR_CORRUPT, "it is known");
        check(strstr(err.text, "run 'larder restore' again, into an empty directory"), err.text);
        check(restore(path_of("copy")) == ERR_CORRUPT, "not over it");
        remove_copy();
    }
    restore_and_kill(0);
    check(!restore_check_ended(path_of("copy"), &err), err.text);
    check(is_there("copy/swarm-key") && !is_there("copy/" RESTORE_MARK), "ended");
    world_setup(&w, path_of("copy"));
    world_open(&w, RESERVE_CACHE_AUTO);
    world_settle(&w);
    check(world_check(&w) == CHUNKS, "and whole");
    world_close(&w);
    world_teardown(&w);
}

/* One that failed has cleared up behind itself: the directory is as empty as before. */
TEST(a_restore_that_failed_leaves_no_mark)
{
    if (getenv("LARDER_RESTORE_STEPS"))
        return;
    const char *to = path_of("failed");
    mkdir(to, 0700);
    check(symlink("/nonexistent/there", path_of("failed/swarm-key")) == 0, "a name in the way");
    check(restore(to) == ERR_IO, err.text);
    check(!restore_check_ended(to, &err) && !is_there("failed/reserve"), "nothing is left");
    check(!restore(to), err.text);
}

/* Whatever took the slabs away: who says "have" must have. */
TEST(an_index_without_slabs_is_refused)
{
    if (getenv("LARDER_RESTORE_STEPS"))
        return;
    world_setup(&w, path_of("node"));
    check(!rename(path_of("node/slabs"), path_of("node/slabs.away")), "away");
    check(world_try_open(&w, RESERVE_CACHE_AUTO, 0) == ERR_CORRUPT, "refused");
    check(strstr(w.err.text, "40 entries") && strstr(w.err.text, "reserve verify --repair"),
          w.err.text);
    rmdir(w.slabs);
    check(!rename(path_of("node/slabs.away"), path_of("node/slabs")), "and back");
    world_open(&w, RESERVE_CACHE_AUTO);
    world_settle(&w);
    check(world_check(&w) == CHUNKS, "nothing was changed");
    world_close(&w);
    world_teardown(&w);
}
