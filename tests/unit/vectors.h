/* tests/unit/vectors.h
 *
 * Test vectors of tests/data as JSON trees (libyajl). The test fails when a file, key or type is
 * not there, so callers need no checks. What is loaded is kept until the program ends.
 */
#ifndef LARDER_TESTS_VECTORS_H
#define LARDER_TESTS_VECTORS_H

#include <yajl/yajl_tree.h>

#include "unit.h"

yajl_val vectors_load(const char *name);              /* tests/data/<name> */
yajl_val vector_get(yajl_val node, const char *key);  /* a member; fails when absent */
yajl_val vector_find(yajl_val node, const char *key); /* a member; NULL when absent or null */
size_t vector_count(yajl_val array);
yajl_val vector_at(yajl_val array, size_t i);
const char *vector_text(yajl_val node, const char *key);
int64_t vector_int(yajl_val node, const char *key);
bool vector_bool(yajl_val node, const char *key);
/* A member of hex text ("0x" in front is skipped) as bytes; returns how many. */
size_t vector_hex(yajl_val node, const char *key, uint8_t *out, size_t out_size);
size_t vector_hex_value(yajl_val value, uint8_t *out, size_t out_size);

#endif
