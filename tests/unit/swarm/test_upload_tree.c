#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "swarm/upload_tree.h"

static struct mem_plan *plan;

static struct mem_owner *owner_make(void)
{
    static const struct mem_row row = { "tree", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct error err = { ERR_OK, "" };
    check(!mem_plan_create(&plan, 64 * MiB, &row, 1, &err), err.text);
    return mem_plan_find(plan, "tree");
}

static const char *path_of(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", unit_temp_dir(), name);
    return path;
}

static void put_file(const char *name)
{
    FILE *f = fopen(path_of(name), "w");
    check(f && fputs("content", f) >= 0 && fclose(f) == 0, name);
}

TEST(files_are_listed_by_their_paths)
{
    static const char *const want[] = { "B", "a.txt", "a/y", "a/z", "b" };
    struct upload_tree t = { .is_file = false };
    struct error err = { ERR_OK, "" };
    struct mem_owner *mem = owner_make();
    mkdir(path_of("t"), 0755);
    mkdir(path_of("t/a"), 0755);
    mkdir(path_of("t/none"), 0755);
    put_file("t/b");
    put_file("t/a/z");
    put_file("t/B");
    put_file("t/a/y");
    put_file("t/a.txt");
    check(symlink("b", path_of("t/link")) == 0 && mkfifo(path_of("t/pipe"), 0600) == 0, "others");
    check(!upload_tree_count(&t, path_of("t"), &err), err.text);
    check(!t.is_file && t.files == 5 && t.left_out == 2 && t.bytes == 5 * 7, "counted");
    check(!upload_tree_room(&t, mem, &err), err.text);
    check(!upload_tree_list(&t, path_of("t"), &err), err.text);
    check(t.files == 5, "five");
    for (uint32_t i = 0; i < 5; i++)
        check(!strcmp(t.sorted[i], want[i]), t.sorted[i]);
    put_file("t/more");
    check(upload_tree_list(&t, path_of("t"), &err) == ERR_IO, "it has grown");
    check(!unlink(path_of("t/more")), "gone");
    upload_tree_free(&t, mem);
    check(mem->used_bytes == 0, "all is given back");
    mem_plan_destroy(plan);
}

TEST(a_file_is_a_tree_of_itself)
{
    struct upload_tree t = { .is_file = false };
    struct error err = { ERR_OK, "" };
    struct mem_owner *mem = owner_make();
    put_file("alone");
    check(!upload_tree_count(&t, path_of("alone"), &err), err.text);
    check(!upload_tree_room(&t, mem, &err) && !upload_tree_list(&t, "", &err), err.text);
    check(t.is_file && t.files == 1 && t.bytes == 7, "one");
    upload_tree_free(&t, mem);
    check(upload_tree_count(&t, "/dev/null", &err) == ERR_USAGE, "a device");
    check(upload_tree_count(&t, path_of("missing"), &err) == ERR_NOT_FOUND, "nothing");
    mem_plan_destroy(plan);
}

TEST(what_no_directory_may_hold_is_refused)
{
    struct upload_tree t = { .is_file = false };
    struct error err = { ERR_OK, "" };
    char here[512];
    check(getcwd(here, sizeof(here)) != NULL, "here");
    mkdir(path_of("deep"), 0755);
    check(chdir(path_of("deep")) == 0, "in");
    for (int i = 0; i <= LIMIT_UPLOAD_DEPTH; i++)
        check(mkdir("d", 0755) == 0 && chdir("d") == 0, "deeper");
    FILE *f = fopen("file", "w");
    check(f && fclose(f) == 0 && chdir(here) == 0, "and back");
    check(upload_tree_count(&t, path_of("deep"), &err) == ERR_LIMIT, "too deep");
    check(strstr(err.text, "deep"), err.text);
    t = (struct upload_tree){ .is_file = false };
    mkdir(path_of("empty"), 0755);
    check(upload_tree_count(&t, path_of("empty"), &err) == ERR_USAGE, "no files");
}

TEST(types_follow_the_end_of_the_name)
{
    check(!strcmp(upload_content_type("a.HTML"), "text/html; charset=utf-8"), "html");
    check(!strcmp(upload_content_type("a.tar.json"), "application/json"), "the last one");
    check(!strcmp(upload_content_type("README"), "application/octet-stream"), "none");
    check(!strcmp(upload_content_type("a.unheard"), "application/octet-stream"), "unknown");
}
