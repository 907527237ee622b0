#include "core/config_yaml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <yaml.h>

struct yaml_load {
    const struct option_target *target;
    const char *path;
    FILE *file;
    uint64_t bytes;
    bool too_large;
    yaml_parser_t parser;
    yaml_event_t event;
    bool failed; /* the parser cannot go on */
};

static uint32_t line_of(const yaml_event_t *event)
{
    return (uint32_t)event->start_mark.line + 1;
}

static void complain(struct yaml_load *y, uint32_t line, const char *key, const char *what)
{
    option_report_add(y->target->report, "%s:%u: %s%s%s", y->path, line, key, key[0] ? ": " : "",
                      what);
}

static int read_some(void *ctx, unsigned char *buffer, size_t size, size_t *size_read)
{
    struct yaml_load *y = ctx;
    *size_read = fread(buffer, 1, size, y->file);
    y->bytes += *size_read;
    y->too_large = !LIMIT_CHECK(CONFIG_FILE_BYTES, y->bytes);
    return !y->too_large && !ferror(y->file);
}

static void complain_of_syntax(struct yaml_load *y)
{
    const yaml_parser_t *p = &y->parser;
    char what[200];
    if (y->too_large)
        snprintf(what, sizeof(what), "the file is larger than %d bytes", LIMIT_CONFIG_FILE_BYTES);
    else if (p->error == YAML_READER_ERROR)
        snprintf(what, sizeof(what), "it is not UTF-8 text: %s",
                 p->problem ? p->problem : "unreadable");
    else
        snprintf(what, sizeof(what), "it is not YAML: %s", p->problem ? p->problem : "unreadable");
    complain(y, (uint32_t)p->problem_mark.line + 1, "", what);
}

/* The next event into y->event; false when there is none. */
static bool next(struct yaml_load *y)
{
    yaml_event_delete(&y->event);
    if (y->failed)
        return false;
    if (yaml_parser_parse(&y->parser, &y->event))
        return true;
    memset(&y->event, 0, sizeof(y->event));
    y->failed = true;
    complain_of_syntax(y);
    return false;
}

/* Reads over the rest of a nested value whose start is the current event. */
static void skip_nested(struct yaml_load *y)
{
    unsigned depth = 1;
    while (depth > 0 && next(y)) {
        bool starts =
            y->event.type == YAML_MAPPING_START_EVENT || y->event.type == YAML_SEQUENCE_START_EVENT;
        bool ends =
            y->event.type == YAML_MAPPING_END_EVENT || y->event.type == YAML_SEQUENCE_END_EVENT;
        depth += starts;
        depth -= ends;
    }
}

/* An anchor, alias or tag on the current event: what they do is too clever for a configuration. */
static bool has_extras(struct yaml_load *y, const char *key)
{
    const yaml_event_t *e = &y->event;
    const char *what = NULL;
    if (e->type == YAML_ALIAS_EVENT)
        what = "aliases (*name) are not taken; write the value out";
    else if (e->type == YAML_SCALAR_EVENT)
        what = e->data.scalar.anchor ? "anchors (&name) are not taken"
               : e->data.scalar.tag  ? "tags (!name) are not taken"
                                     : NULL;
    else if (e->type == YAML_SEQUENCE_START_EVENT)
        what = e->data.sequence_start.anchor ? "anchors (&name) are not taken"
               : e->data.sequence_start.tag  ? "tags (!name) are not taken"
                                             : NULL;
    else if (e->type == YAML_MAPPING_START_EVENT)
        what = e->data.mapping_start.anchor ? "anchors (&name) are not taken"
               : e->data.mapping_start.tag  ? "tags (!name) are not taken"
                                            : NULL;
    if (what)
        complain(y, line_of(e), key, what);
    return what != NULL;
}

static const char *wrong_type(const struct option_row *row, const yaml_event_t *e)
{
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool number = row->type == OPTION_TYPE_BOOL || row->type == OPTION_TYPE_COUNT;
    if (plain && e->data.scalar.length == 0)
        return "it has no value; leave the line out for the default";
    if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
        return "it has a zero byte";
    if (!plain && number && row->kind == OPTION_KIND_VALUE)
        return row->type == OPTION_TYPE_BOOL
                   ? "it is text in quotes; allowed: true or false, without quotes"
                   : "it is text in quotes; allowed: a number, without quotes";
    return NULL;
}

static void take_scalar(struct yaml_load *y, const struct option_row *row)
{
    struct option_name name = option_name(row);
    struct error err = { ERR_OK, "" };
    if (has_extras(y, name.text))
        return;
    const char *what = wrong_type(row, &y->event);
    if (!what && option_set(y->target, row, (const char *)y->event.data.scalar.value, &err))
        what = err.text;
    if (what)
        complain(y, line_of(&y->event), name.text, what);
}

static void take_list(struct yaml_load *y, const struct option_row *row)
{
    struct option_name name = option_name(row);
    has_extras(y, name.text);
    while (next(y) && y->event.type != YAML_SEQUENCE_END_EVENT) {
        if (y->event.type == YAML_SCALAR_EVENT) {
            take_scalar(y, row);
        } else if (!has_extras(y, name.text)) {
            complain(y, line_of(&y->event), name.text, "an entry is no scalar");
            skip_nested(y);
        } else if (y->event.type != YAML_ALIAS_EVENT) {
            skip_nested(y);
        }
    }
}

/* The current event begins the value of row. */
static void take_value(struct yaml_load *y, const struct option_row *row)
{
    struct option_name name = option_name(row);
    bool list = row->kind == OPTION_KIND_LIST;
    if (y->event.type == YAML_SCALAR_EVENT && !list) {
        take_scalar(y, row);
    } else if (y->event.type == YAML_SEQUENCE_START_EVENT && list) {
        take_list(y, row);
    } else if (y->event.type == YAML_ALIAS_EVENT) {
        has_extras(y, name.text);
    } else {
        char allowed[160], what[256];
        option_allowed(row, allowed, sizeof(allowed));
        snprintf(what, sizeof(what), "it is a %s; allowed: %s%s",
                 y->event.type == YAML_SCALAR_EVENT           ? "single value"
                 : y->event.type == YAML_SEQUENCE_START_EVENT ? "list"
                                                              : "mapping",
                 list ? "a list of " : "", allowed);
        complain(y, line_of(&y->event), name.text, what);
        if (y->event.type != YAML_SCALAR_EVENT)
            skip_nested(y);
    }
}

static void skip_value(struct yaml_load *y)
{
    if (y->event.type == YAML_MAPPING_START_EVENT || y->event.type == YAML_SEQUENCE_START_EVENT)
        skip_nested(y);
}

/* The row a key names, or NULL after a complaint. */
static const struct option_row *take_key(struct yaml_load *y, uint32_t line)
{
    const struct option_target *t = y->target;
    const char *key = (const char *)y->event.data.scalar.value;
    const struct option_row *row = option_find(t, key, y->event.data.scalar.length);
    char what[160];
    if (!row) {
        snprintf(what, sizeof(what), "there is no such option%s", option_did_you_mean(t, key).text);
    } else if (t->given[row - t->rows].source == OPTION_FILE) {
        snprintf(what, sizeof(what), "it stands already in line %u", t->given[row - t->rows].line);
        row = NULL;
    } else {
        option_begin(t, row, OPTION_FILE, line);
        return row;
    }
    char shown[64];
    snprintf(shown, sizeof(shown), "%.60s", key);
    complain(y, line, shown, what);
    return NULL;
}

static void take_mapping(struct yaml_load *y)
{
    while (next(y) && y->event.type != YAML_MAPPING_END_EVENT) {
        uint32_t line = line_of(&y->event);
        const struct option_row *row = NULL;
        if (y->event.type == YAML_SCALAR_EVENT) {
            if (!has_extras(y, ""))
                row = take_key(y, line);
        } else if (!has_extras(y, "")) {
            complain(y, line, "", "a key is the name of an option");
            skip_value(y);
        } else {
            skip_value(y);
        }
        if (!next(y))
            return;
        if (row)
            take_value(y, row);
        else
            skip_value(y);
    }
}

static void take_document(struct yaml_load *y)
{
    if (!next(y))
        return;
    if (y->event.type == YAML_MAPPING_START_EVENT) {
        has_extras(y, "");
        take_mapping(y);
    } else if (y->event.type != YAML_SCALAR_EVENT || y->event.data.scalar.length > 0) {
        complain(y, line_of(&y->event), "", "a configuration is a list of 'name: value' lines");
        skip_value(y);
    }
}

static void take_stream(struct yaml_load *y)
{
    unsigned documents = 0;
    while (next(y) && y->event.type != YAML_STREAM_END_EVENT) {
        if (y->event.type != YAML_DOCUMENT_START_EVENT)
            continue;
        if (documents++ > 0) {
            complain(y, line_of(&y->event), "", "a second document is not taken");
            return;
        }
        if (y->event.data.document_start.tag_directives.start !=
            y->event.data.document_start.tag_directives.end)
            complain(y, line_of(&y->event), "", "tags are not taken");
        take_document(y);
    }
}

void config_yaml_load(const struct option_target *t, const char *path)
{
    struct yaml_load y = { .target = t, .path = path, .file = fopen(path, "re") };
    struct stat st;
    int failed = !y.file ? errno : fstat(fileno(y.file), &st) ? errno : 0;
    if (!failed && S_ISDIR(st.st_mode)) /* opens, and every read fails */
        failed = EISDIR;
    if (failed) {
        char reason[96];
        option_report_add(t->report, "%s: cannot be opened: %s", path,
                          strerror_r(failed, reason, sizeof(reason)));
        if (y.file)
            fclose(y.file);
        return;
    }
    if (yaml_parser_initialize(&y.parser)) {
        yaml_parser_set_input(&y.parser, read_some, &y);
        take_stream(&y);
        yaml_event_delete(&y.event);
        yaml_parser_delete(&y.parser);
    } else {
        option_report_add(t->report, "%s: no memory to read it", path);
    }
    fclose(y.file);
}
