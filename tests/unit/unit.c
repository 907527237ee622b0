#include "unit.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"

enum { UNIT_TESTS_MAX = 256 };

static struct CMUnitTest tests[UNIT_TESTS_MAX];
static size_t tests_count;
static char temp_dir[128];

void unit_register(const char *name, void (*run)(void **state))
{
    assert(tests_count < UNIT_TESTS_MAX);
    tests[tests_count++] = (struct CMUnitTest){ .name = name, .test_func = run };
}

void unit_check(bool ok, const char *expr, const char *why, const char *file, int line)
{
    if (!ok) {
        print_error("# %s:%d: %s: %s\n", file, line, why, expr);
        _fail(file, line);
    }
}

const char *unit_data_dir(void)
{
    const char *dir = getenv("LARDER_TEST_DATA");
    return dir ? dir : "tests/data";
}

char *unit_data_read(const char *name, size_t *size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", unit_data_dir(), name);
    FILE *f = fopen(path, "rb");
    check(f != NULL, path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*size + 1);
    check(text && fread(text, 1, *size, f) == *size, path);
    text[*size] = '\0';
    fclose(f);
    return text;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

const char *unit_temp_dir(void)
{
    if (!temp_dir[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(temp_dir, sizeof(temp_dir), "%s/larder-test-XXXXXX", base ? base : "/tmp");
        check(mkdtemp(temp_dir) != NULL, temp_dir);
    }
    return temp_dir;
}

/* Which limits this program hit, one name a line, so that the suite can say which none did. */
static void report_limits(void)
{
    const char *path = getenv("TEST_HITS_FILE");
    FILE *f = path ? fopen(path, "a") : NULL;
    for (unsigned i = 0; f && i < LIMIT_ID_COUNT; i++)
        if (limit_hits(i) > 0)
            fprintf(f, "limit %s\n", limit_name(i));
    if (f)
        fclose(f);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = _cmocka_run_group_tests("larder", tests, tests_count, NULL, NULL);
    report_limits();
    if (temp_dir[0])
        nftw(temp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed != 0;
}
