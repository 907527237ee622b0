#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "core/config_args.h"
#include "core/option.h"

/* Rows of our own: a part that is always on and one with a switch. */
struct values {
    option_bool_t shop;
    option_number_t tills, till_colour;
    option_number_t size, wait;
    const char *key_file, *sign;
    struct option_list doors;
};
enum { SHOP_SECTION, SHOP, TILLS, COLOUR, ALWAYS_SECTION, SIZE, WAIT, KEY, SIGN, DOORS, ROWS };

static const char *const colours[] = { "red", "green", "blue", NULL };
static const struct option_row rows[ROWS] = {
    [SHOP_SECTION] = { .name = "shop", .kind = OPTION_KIND_SECTION, .enabled_by = SHOP },
    [SHOP] = { .name = "shop",
               .kind = OPTION_KIND_VALUE,
               .type = OPTION_TYPE_BOOL,
               .max = 1,
               .offset = offsetof(struct values, shop) },
    [TILLS] = { .name = "tills",
                .kind = OPTION_KIND_VALUE,
                .type = OPTION_TYPE_COUNT,
                .def = 3,
                .min = 2,
                .max = 9,
                .offset = offsetof(struct values, tills) },
    [COLOUR] = { .name = "till_colour",
                 .kind = OPTION_KIND_VALUE,
                 .type = OPTION_TYPE_CHOICE,
                 .max = 2,
                 .choices = colours,
                 .offset = offsetof(struct values, till_colour) },
    [ALWAYS_SECTION] = { .name = "house",
                         .kind = OPTION_KIND_SECTION,
                         .enabled_by = OPTION_ALWAYS },
    [SIZE] = { .name = "size",
               .kind = OPTION_KIND_VALUE,
               .type = OPTION_TYPE_SIZE,
               .def = MiB,
               .min = KiB,
               .max = GiB,
               .offset = offsetof(struct values, size) },
    [WAIT] = { .name = "wait",
               .kind = OPTION_KIND_VALUE,
               .type = OPTION_TYPE_DURATION,
               .def = 5 * SECONDS,
               .max = MINUTES,
               .offset = offsetof(struct values, wait) },
    [KEY] = { .name = "key_file",
              .kind = OPTION_KIND_TEXT,
              .type = OPTION_TYPE_SECRET_FILE,
              .text_def = "",
              .offset = offsetof(struct values, key_file) },
    [SIGN] = { .name = "sign",
               .kind = OPTION_KIND_TEXT,
               .type = OPTION_TYPE_TEXT,
               .text_def = "open",
               .offset = offsetof(struct values, sign) },
    [DOORS] = { .name = "doors",
                .kind = OPTION_KIND_LIST,
                .type = OPTION_TYPE_ADDRESS,
                .entries_max = 2,
                .offset = offsetof(struct values, doors) },
};

struct fixture {
    struct values values;
    struct option_given given[ROWS];
    struct option_texts texts;
    struct option_report report;
    struct option_target target;
};

static struct fixture *fixture_fresh(void)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.target = (struct option_target){ rows, ROWS, &f.values, f.given, &f.texts, &f.report };
    option_set_defaults(&f.target);
    return &f;
}

static const struct {
    const char *why;
    unsigned row;
    const char *text;
    bool ok;
    const char *shown; /* as printed afterwards */
} cases[] = {
    { "true", SHOP, "true", true, "true" },
    { "yes is not a truth value", SHOP, "yes", false, "false" },
    { "capitals are not", SHOP, "True", false, "false" },
    { "a choice by its name", COLOUR, "blue", true, "blue" },
    { "a choice not there", COLOUR, "pink", false, "red" },
    { "a choice has no number", COLOUR, "1", false, "red" },
    { "one below", TILLS, "1", false, "3" },
    { "the least", TILLS, "2", true, "2" },
    { "the most", TILLS, "9", true, "9" },
    { "one above", TILLS, "10", false, "3" },
    { "a size in bytes", SIZE, "2048", true, "2KiB" },
    { "a size too large", SIZE, "2GiB", false, "1MiB" },
    { "a duration", WAIT, "90s", false, "5s" },
    { "a duration without unit", WAIT, "9", false, "5s" },
    { "text", SIGN, "closed", true, "closed" },
    { "text of no characters", SIGN, "", true, "" },
    { "text with a bell", SIGN, "a\ab", false, "open" },
    { "a secret is masked", KEY, "/run/key", true, "********" },
    { "a pasted secret", KEY, "hunter2", false, "" },
    { "an address", DOORS, "127.0.0.1:80", true, "127.0.0.1:80" },
    { "an IPv6 address", DOORS, "[::1]:0", true, "[::1]:0" },
    { "an IPv6 address without brackets", DOORS, "::1:80", false, "" },
    { "a port too large", DOORS, "127.0.0.1:65536", false, "" },
    { "a name", DOORS, "example.org:80", false, "" },
    { "no port", DOORS, "127.0.0.1", false, "" },
    { "an empty entry", DOORS, "", false, "" },
};

TEST(values_are_taken_or_left_as_they_were)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture *f = fixture_fresh();
        const struct option_row *row = &rows[cases[i].row];
        struct error err = { ERR_OK, "" };
        char shown[64];
        option_begin(&f->target, row, OPTION_FLAG, 0);
        check((option_set(&f->target, row, cases[i].text, &err) == ERR_OK) == cases[i].ok,
              cases[i].why);
        option_print(&f->target, row, shown, sizeof(shown));
        check(!strcmp(shown, cases[i].shown), cases[i].why);
        check(cases[i].ok || strstr(err.text, "allowed: "), "an error says what is allowed");
        check(!strstr(err.text, "hunter2"), "an error never repeats a secret");
    }
}

TEST(a_list_grows_to_its_limit_and_starts_again_from_a_stronger_source)
{
    struct fixture *f = fixture_fresh();
    const struct option_row *row = &rows[DOORS];
    option_begin(&f->target, row, OPTION_FILE, 1);
    check(!option_set(&f->target, row, "127.0.0.1:1", NULL), "the first");
    check(!option_set(&f->target, row, "127.0.0.1:2", NULL), "the second");
    check(option_set(&f->target, row, "127.0.0.1:3", NULL), "a third is too many");
    option_begin(&f->target, row, OPTION_FLAG, 0);
    check(f->values.doors.count == 0, "a flag starts anew");
    check(!option_set(&f->target, row, "127.0.0.1:4", NULL), "the flag's");
    char shown[64];
    option_print(&f->target, row, shown, sizeof(shown));
    check(!strcmp(shown, "127.0.0.1:4"), shown);
}

TEST(texts_have_one_limit_together)
{
    struct fixture *f = fixture_fresh();
    char long_text[4000];
    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    unsigned kept = 0;
    while (!option_set(&f->target, &rows[SIGN], long_text, NULL))
        kept++;
    check(kept == LIMIT_CONFIG_TEXT_BYTES / sizeof(long_text), "as many as fit");
    check(option_set(&f->target, &rows[DOORS], "127.0.0.1:4", NULL) == ERR_OK,
          "a short one still does");
}

TEST(an_option_has_no_effect_while_its_section_is_off)
{
    struct fixture *f = fixture_fresh();
    check(!option_has_effect(&f->target, &rows[TILLS]), "the shop is closed");
    check(option_has_effect(&f->target, &rows[SHOP]), "the switch itself has one");
    check(option_has_effect(&f->target, &rows[SIZE]), "the house is always there");
    check(!option_set(&f->target, &rows[SHOP], "true", NULL), "open the shop");
    check(option_has_effect(&f->target, &rows[TILLS]), "the shop is open");
}

TEST(slips_of_the_hand_are_recognised)
{
    struct fixture *f = fixture_fresh();
    static const struct {
        const char *typed, *meant;
    } slips[] = {
        { "tils", "; did you mean 'tills'?" },
        { "tlils", "; did you mean 'tills'?" },
        { "till_colour", "; did you mean 'till-colour'?" },
        { "warp-drive", "" },
        { "x", "" },
        { "key-flie", "; did you mean 'key-file'?" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(slips); i++)
        check(!strcmp(option_did_you_mean(&f->target, slips[i].typed).text, slips[i].meant),
              slips[i].typed);
}

TEST(a_full_report_counts_what_does_not_fit)
{
    struct fixture *f = fixture_fresh();
    for (unsigned i = 0; i < 1000; i++)
        option_report_add(&f->report, "line %03u of many lines that say that something is wrong",
                          i);
    check(f->report.errors == 1000, "all are counted");
    check(strlen(f->report.text) < sizeof(f->report.text), "it ends");
    check(f->report.text[f->report.used - 1] == '\n', "with a whole line");
}

TEST(a_secret_may_come_as_a_credential)
{
    struct fixture *f = fixture_fresh();
    char variable[300], path[300], shown[64];
    snprintf(path, sizeof(path), "%s/key-file", unit_temp_dir());
    snprintf(variable, sizeof(variable), "CREDENTIALS_DIRECTORY=%s", unit_temp_dir());
    char *envp[] = { variable, NULL }, *none[] = { NULL };
    config_credentials_load(&f->target, envp);
    check(!f->values.key_file[0], "it is not there");
    FILE *file = fopen(path, "w");
    check(file && fclose(file) == 0, path);
    config_credentials_load(&f->target, none);
    check(!f->values.key_file[0], "nobody says where");
    config_credentials_load(&f->target, envp);
    check(!strcmp(f->values.key_file, path), f->values.key_file);
    option_print(&f->target, &rows[KEY], shown, sizeof(shown));
    check(!strcmp(shown, "********"), "where a configuration is shown it is masked");
    option_begin(&f->target, &rows[KEY], OPTION_FLAG, 0);
    check(!option_set(&f->target, &rows[KEY], "/other/key", NULL), "a flag");
    config_credentials_load(&f->target, envp);
    check(!strcmp(f->values.key_file, "/other/key"), "is stronger");
}
