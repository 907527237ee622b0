/* Token files good and bad, and headers against them. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "node/auth.h"

#define TOKEN "0123456789abcdef-token"
static char too_long[LIMIT_HTTP_TOKEN_BYTES + 10];

static const struct {
    const char *why, *text;
    mode_t mode;
    enum err want;
} files[] = {
    { "a token", TOKEN "\n", 0600, ERR_OK },
    { "a group may read it, as credentials of a service", TOKEN, 0440, ERR_OK },
    { "Windows wrote it", TOKEN "\r\n", 0600, ERR_OK },
    { "everybody may read it", TOKEN, 0644, ERR_CONFIG },
    { "fifteen characters", "0123456789abcde\n", 0600, ERR_CONFIG },
    { "two lines", TOKEN "\n" TOKEN "\n", 0600, ERR_CONFIG },
    { "a space", "0123456789 abcdef", 0600, ERR_CONFIG },
    { "nothing", "", 0600, ERR_CONFIG },
    { "too long", too_long, 0600, ERR_CONFIG },
};

static const struct {
    const char *why, *header;
    enum err want;
} headers[] = {
    { "the token", "Bearer " TOKEN, ERR_OK },
    { "the scheme has no case", "bearer " TOKEN, ERR_OK },
    { "no header", NULL, ERR_REFUSED },
    { "another scheme", "Basic " TOKEN, ERR_REFUSED },
    { "no token", "Bearer ", ERR_REFUSED },
    { "no scheme", TOKEN, ERR_REFUSED },
    { "a part of it", "Bearer 0123456789abcdef-toke", ERR_REFUSED },
    { "more than it", "Bearer " TOKEN "s", ERR_REFUSED },
    { "another one", "Bearer 1123456789abcdef-token", ERR_REFUSED },
};

static const struct mem_row row = { "node", "refused", MEM_ELASTIC, 1 * MiB, 1, 1, true };

TEST(tokens)
{
    struct mem_plan *plan;
    char path[256];
    memset(too_long, 'x', sizeof(too_long) - 1);
    check(mem_plan_create(&plan, 64 * MiB, &row, 1, NULL) == ERR_OK, "a plan");
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct auth *a = NULL;
        struct error err = { 0 };
        snprintf(path, sizeof(path), "%s/token", unit_temp_dir());
        remove(path);
        FILE *f = fopen(path, "w");
        check(f && fputs(files[i].text, f) >= 0 && fclose(f) == 0, path);
        chmod(path, files[i].mode);
        check(auth_create(&a, plan->owners, path, &err) == files[i].want, files[i].why);
        check(!err.code || (strstr(err.text, path) && !strstr(err.text, "0123456789")),
              "it names the file and does not tell the secret");
        for (size_t h = 0; a && h < ARRAY_SIZE(headers); h++)
            check(auth_check(a, headers[h].header, NULL) == headers[h].want, headers[h].why);
        auth_destroy(a);
    }
    struct auth *a = NULL;
    check(auth_create(&a, plan->owners, "/nowhere/token", NULL) == ERR_CONFIG, "no file");
    check(auth_create(&a, plan->owners, "", NULL) == ERR_OK, "none is configured");
    check(auth_check(a, "Bearer ", NULL) == ERR_REFUSED, "then nobody is let in");
    auth_destroy(a);
    mem_plan_destroy(plan);
}
