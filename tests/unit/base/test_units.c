#include "unit.h"

#include <string.h>

#include "base/units.h"

static const struct {
    const char *why, *text;
    bool ok;
    uint64_t value;
} size_cases[] = {
    { "a number alone is bytes", "4096", true, 4096 },
    { "powers of two", "1GiB", true, 1 * GiB },
    { "powers of ten", "1GB", true, 1000000000 },
    { "small k only", "1kB", true, 1000 },
    { "zero", "0", true, 0 },
    { "the largest", "18446744073709551615B", true, UINT64_MAX },
    { "a digit too many", "18446744073709551616", false, 0 },
    { "an overflow by its unit", "16777216TiB", false, 0 },
    { "a letter means two things", "1G", false, 0 },
    { "no spaces", "1 GiB", false, 0 },
    { "no fractions", "1.5GiB", false, 0 },
    { "no signs", "-1", false, 0 },
    { "nothing", "", false, 0 },
    { "a unit alone", "GiB", false, 0 },
    { "hex is not a number here", "0x10", false, 0 },
}, duration_cases[] = {
    { "seconds", "25s", true, 25 * SECONDS },
    { "milliseconds", "100ms", true, 100 },
    { "minutes", "5m", true, 5 * MINUTES },
    { "days", "2d", true, 2 * DAYS },
    { "zero needs no unit", "0", true, 0 },
    { "a number alone could be anything", "25", false, 0 },
    { "two units", "1h30m", false, 0 },
    { "an overflow", "99999999999999999d", false, 0 },
};

TEST(sizes_are_read_strictly)
{
    for (size_t i = 0; i < ARRAY_SIZE(size_cases); i++) {
        uint64_t value = 0;
        struct error err = { ERR_OK, "" };
        enum err rc = units_parse_size(size_cases[i].text, &value, &err);
        check((rc == ERR_OK) == size_cases[i].ok, size_cases[i].why);
        check(value == size_cases[i].value, size_cases[i].why);
    }
}

TEST(durations_need_a_unit)
{
    for (size_t i = 0; i < ARRAY_SIZE(duration_cases); i++) {
        uint64_t value = 0;
        struct error err = { ERR_OK, "" };
        enum err rc = units_parse_duration(duration_cases[i].text, &value, &err);
        check((rc == ERR_OK) == duration_cases[i].ok, duration_cases[i].why);
        check(value == duration_cases[i].value, duration_cases[i].why);
    }
}

TEST(what_is_printed_reads_back)
{
    static const uint64_t values[] = {
        0, 1, 1023, 1024, 1536 * MiB, 3 * GiB + 1, UINT64_MAX, 60000
    };
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        uint64_t back = 1;
        check(!units_parse_size(units_size(values[i]).text, &back, NULL) && back == values[i],
              units_size(values[i]).text);
        check(!units_parse_duration(units_duration(values[i]).text, &back, NULL) &&
                  back == values[i],
              units_duration(values[i]).text);
    }
    check(!strcmp(units_size(1536 * MiB).text, "1536MiB"), "the largest unit that divides");
    check(!strcmp(units_duration(90 * SECONDS).text, "90s"), "the largest unit that divides");
    check(!strcmp(units_size_about(1536 * MiB).text, "1.50 GiB"),
          units_size_about(1536 * MiB).text);
    check(!strcmp(units_size_about(12).text, "12 B"), units_size_about(12).text);
}
