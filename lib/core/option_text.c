/* The text forms of an option: what may be written, and what is written. */
#include "core/option.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"

static const void *field_of(const struct option_target *t, const struct option_row *row)
{
    return (const uint8_t *)t->values + row->offset;
}

void option_number_text(const struct option_row *row, uint64_t value, char *out, size_t size)
{
    switch (row->type) {
    case OPTION_TYPE_BOOL:
        snprintf(out, size, "%s", value ? "true" : "false");
        return;
    case OPTION_TYPE_COUNT:
        snprintf(out, size, "%" PRIu64, value);
        return;
    case OPTION_TYPE_SIZE:
        snprintf(out, size, "%s", units_size(value).text);
        return;
    case OPTION_TYPE_DURATION:
        snprintf(out, size, "%s", units_duration(value).text);
        return;
    case OPTION_TYPE_CHOICE:
        snprintf(out, size, "%s", row->choices[value]);
        return;
    case OPTION_TYPE_SECTION:
    case OPTION_TYPE_TEXT:
    case OPTION_TYPE_PATH:
    case OPTION_TYPE_ADDRESS:
    case OPTION_TYPE_MULTIADDR:
    case OPTION_TYPE_SECRET_FILE:
        break;
    }
    assert(!"a row of kind VALUE has a type of numbers");
}

static void append(char *out, size_t size, const char *text)
{
    size_t used = strlen(out);
    snprintf(out + used, size - used, "%s", text);
}

static void allowed_choices(const struct option_row *row, char *out, size_t size)
{
    out[0] = '\0';
    for (uint64_t i = row->min; i <= row->max; i++) {
        append(out, size, row->choices[i]);
        if (i < row->max)
            append(out, size, i + 1 == row->max ? " or " : ", ");
    }
}

static const char *allowed_text(enum option_type type)
{
    switch (type) {
    case OPTION_TYPE_TEXT:
        return "text";
    case OPTION_TYPE_PATH:
        return "a path";
    case OPTION_TYPE_ADDRESS:
        return "IP:PORT, [IPv6]:PORT or localhost:PORT";
    case OPTION_TYPE_MULTIADDR:
        return "a multiaddr, as in /ip4/192.0.2.1/tcp/4001";
    case OPTION_TYPE_SECRET_FILE:
        return "the path of a file that holds the secret, with a '/' in it";
    case OPTION_TYPE_SECTION:
    case OPTION_TYPE_BOOL:
    case OPTION_TYPE_COUNT:
    case OPTION_TYPE_SIZE:
    case OPTION_TYPE_DURATION:
    case OPTION_TYPE_CHOICE:
        break;
    }
    assert(!"not a type of texts");
    return "";
}

void option_allowed(const struct option_row *row, char *out, size_t size)
{
    if (row->kind == OPTION_KIND_LIST) {
        snprintf(out, size, "up to %u entries, each %s", row->entries_max, allowed_text(row->type));
    } else if (row->kind == OPTION_KIND_TEXT) {
        snprintf(out, size, "%s", allowed_text(row->type));
    } else if (row->type == OPTION_TYPE_BOOL) {
        snprintf(out, size, "true or false");
    } else if (row->type == OPTION_TYPE_CHOICE) {
        allowed_choices(row, out, size);
    } else {
        char min[32], max[32];
        option_number_text(row, row->min, min, sizeof(min));
        option_number_text(row, row->max, max, sizeof(max));
        snprintf(out, size, "%s to %s", min, max);
    }
}

static void print_list(const struct option_list *list, char *out, size_t size)
{
    out[0] = '\0';
    for (uint32_t i = 0; i < list->count; i++) {
        append(out, size, i ? "," : "");
        append(out, size, list->items[i]);
    }
}

void option_print(const struct option_target *t, const struct option_row *row, char *out,
                  size_t size)
{
    const void *field = field_of(t, row);
    switch (row->kind) {
    case OPTION_KIND_SECTION:
        out[0] = '\0';
        return;
    case OPTION_KIND_VALUE:
        option_number_text(row,
                           row->type == OPTION_TYPE_BOOL ? *(const option_bool_t *)field
                                                         : *(const option_number_t *)field,
                           out, size);
        return;
    case OPTION_KIND_TEXT: {
        const char *text = *(const char *const *)field;
        bool masked = row->type == OPTION_TYPE_SECRET_FILE && text[0];
        snprintf(out, size, "%s", masked ? "********" : text);
        return;
    }
    case OPTION_KIND_LIST:
        print_list(field, out, size);
        return;
    }
}
