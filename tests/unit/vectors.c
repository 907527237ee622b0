#include "vectors.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

enum { FILES_MAX = 16 };

/* Each file is read once and kept, where the leak checker sees it. */
static struct {
    char name[64];
    yajl_val root;
} files[FILES_MAX];

yajl_val vectors_load(const char *name)
{
    size_t i = 0, size;
    while (files[i].root && strcmp(files[i].name, name))
        i++;
    check(i < FILES_MAX - 1 && strlen(name) < sizeof(files[i].name), "room for one more file");
    if (files[i].root)
        return files[i].root;
    char *text = unit_data_read(name, &size);
    char why[256] = "";
    files[i].root = yajl_tree_parse(text, why, sizeof(why));
    free(text);
    check(files[i].root != NULL, why[0] ? why : name);
    memcpy(files[i].name, name, strlen(name) + 1);
    return files[i].root;
}

yajl_val vector_find(yajl_val node, const char *key)
{
    const char *path[] = { key, NULL };
    yajl_val v = yajl_tree_get(node, path, yajl_t_any);
    return v && YAJL_IS_NULL(v) ? NULL : v;
}

yajl_val vector_get(yajl_val node, const char *key)
{
    yajl_val v = vector_find(node, key);
    check(v != NULL, key);
    return v;
}

size_t vector_count(yajl_val array)
{
    check(YAJL_IS_ARRAY(array), "not an array");
    return YAJL_GET_ARRAY(array)->len;
}

yajl_val vector_at(yajl_val array, size_t i)
{
    check(i < vector_count(array), "index past the array");
    return YAJL_GET_ARRAY(array)->values[i];
}

const char *vector_text(yajl_val node, const char *key)
{
    yajl_val v = vector_get(node, key);
    check(YAJL_IS_STRING(v), key);
    return YAJL_GET_STRING(v);
}

int64_t vector_int(yajl_val node, const char *key)
{
    yajl_val v = vector_get(node, key);
    check(YAJL_IS_INTEGER(v), key);
    return YAJL_GET_INTEGER(v);
}

bool vector_bool(yajl_val node, const char *key)
{
    yajl_val v = vector_get(node, key);
    check(YAJL_IS_TRUE(v) || YAJL_IS_FALSE(v), key);
    return YAJL_IS_TRUE(v);
}

size_t vector_hex_value(yajl_val value, uint8_t *out, size_t out_size)
{
    check(YAJL_IS_STRING(value), "hex is a string");
    const char *text = YAJL_GET_STRING(value);
    if (!strncmp(text, "0x", 2))
        text += 2;
    size_t size = 0;
    struct error err = { ERR_OK, "" };
    err_ignore(hex_decode(text, strlen(text), out, out_size, &size, &err));
    check(err.code == ERR_OK, err.text);
    return size;
}

size_t vector_hex(yajl_val node, const char *key, uint8_t *out, size_t out_size)
{
    return vector_hex_value(vector_get(node, key), out, out_size);
}
