/* tests/unit/unit.h
 *
 * Two thin macros over cmocka. Each file of tests/unit/ is one program with one group that prints
 * TAP for prove. A test is a table: see style.md §10.
 */
#ifndef LARDER_TESTS_UNIT_H
#define LARDER_TESTS_UNIT_H

#include "base/base.h"
#include "base/error.h"

void unit_register(const char *name, void (*run)(void **state));
void unit_check(bool ok, const char *expr, const char *why, const char *file, int line);
/* The folder of test data (tests/data), set by the Makefile. */
const char *unit_data_dir(void);
/* Reads a whole file of the data folder; the test fails when it cannot. Free with free(). */
char *unit_data_read(const char *name, size_t *size);
/* A fresh folder for this test, removed when the program ends. */
const char *unit_temp_dir(void);

#define TEST(name)                                                                                 \
    static void name(void **state);                                                                \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        unit_register(#name, name);                                                                \
    }                                                                                              \
    static void name(void **state UNUSED)

/* The test ends at the first check that does not hold; why says it in words. */
#define check(cond, why) unit_check((cond), #cond, (why), __FILE__, __LINE__)

#endif
