#include "core/option.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

static void *field_of(const struct option_target *t, const struct option_row *row)
{
    return (uint8_t *)t->values + row->offset;
}

static struct option_given *given_of(const struct option_target *t, const struct option_row *row)
{
    assert(row >= t->rows && row < t->rows + t->count);
    return &t->given[row - t->rows];
}

static struct option_name name_with(const char *prefix, const char *name, int (*change)(int c))
{
    struct option_name out;
    snprintf(out.text, sizeof(out.text), "%s%s", prefix, name);
    for (char *c = out.text; *c; c++)
        *c = (char)change((unsigned char)*c);
    return out;
}

static int dashed(int c)
{
    return c == '_' ? '-' : c;
}

struct option_name option_name(const struct option_row *row)
{
    return name_with("", row->name, dashed);
}

struct option_name option_variable(const struct option_row *row)
{
    return name_with("LARDER_", row->name, toupper);
}

const char *option_keep(const struct option_target *t, const char *text, struct error *err)
{
    size_t size = strlen(text) + 1;
    struct option_texts *texts = t->texts;
    if (!LIMIT_CHECK(CONFIG_TEXT_BYTES, texts->used + size)) {
        error_set(err, ERR_CONFIG, "the texts of the configuration together exceed %d bytes",
                  LIMIT_CONFIG_TEXT_BYTES);
        return NULL;
    }
    char *kept = texts->bytes + texts->used;
    memcpy(kept, text, size);
    texts->used += size;
    return kept;
}

void option_set_defaults(const struct option_target *t)
{
    t->texts->used = 0;
    memset(t->given, 0, t->count * sizeof(*t->given));
    for (const struct option_row *row = t->rows; row < t->rows + t->count; row++) {
        void *field = field_of(t, row);
        switch (row->kind) {
        case OPTION_KIND_SECTION:
            break;
        case OPTION_KIND_VALUE:
            assert(row->def >= row->min && row->def <= row->max);
            if (row->type == OPTION_TYPE_BOOL)
                *(option_bool_t *)field = row->def != 0;
            else
                *(option_number_t *)field = row->def;
            break;
        case OPTION_KIND_TEXT:
            *(const char **)field = row->text_def;
            break;
        case OPTION_KIND_LIST:
            *(struct option_list *)field = (struct option_list){ NULL, 0 };
            break;
        }
    }
}

const struct option_row *option_find(const struct option_target *t, const char *name, size_t size)
{
    for (const struct option_row *row = t->rows; row < t->rows + t->count; row++) {
        struct option_name own = option_name(row);
        if (row->kind != OPTION_KIND_SECTION && strlen(own.text) == size &&
            !memcmp(own.text, name, size))
            return row;
    }
    return NULL;
}

/* Edits between two names, neighbours swapped counting as one: the slips of a typing hand. */
static unsigned edits_between(const char *a, const char *b)
{
    enum { LEN = 63 };
    size_t na = strlen(a), nb = strlen(b);
    if (na > LEN || nb > LEN)
        return LEN;
    uint8_t d[LEN + 1][LEN + 1];
    for (size_t i = 0; i <= na; i++)
        d[i][0] = (uint8_t)i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= na; i++)
        for (size_t j = 1; j <= nb; j++) {
            unsigned cost = a[i - 1] != b[j - 1];
            unsigned best = MIN(d[i - 1][j - 1] + cost, 1u + MIN(d[i - 1][j], d[i][j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, d[i - 2][j - 2] + 1u);
            d[i][j] = (uint8_t)best;
        }
    return d[na][nb];
}

struct option_name option_did_you_mean(const struct option_target *t, const char *name)
{
    struct option_name out = { "" }, near = { "" };
    unsigned best = (unsigned)MAX(1, MIN(strlen(name) / 3, 3)) + 1;
    for (const struct option_row *row = t->rows; row < t->rows + t->count; row++) {
        if (row->kind == OPTION_KIND_SECTION)
            continue;
        struct option_name own = option_name(row);
        unsigned edits = edits_between(name, own.text);
        if (edits < best) {
            best = edits;
            near = own;
        }
    }
    if (near.text[0])
        snprintf(out.text, sizeof(out.text), "; did you mean '%.40s'?", near.text);
    return out;
}

void option_begin(const struct option_target *t, const struct option_row *row,
                  enum option_source source, uint32_t line)
{
    *given_of(t, row) = (struct option_given){ source, line };
    if (row->kind == OPTION_KIND_LIST)
        *(struct option_list *)field_of(t, row) = (struct option_list){ NULL, 0 };
}

static enum err parse_choice(const struct option_row *row, const char *text, uint64_t *out,
                             struct error *err)
{
    for (uint64_t i = row->min; i <= row->max; i++)
        if (!strcmp(row->choices[i], text)) {
            *out = i;
            return ERR_OK;
        }
    return error_set(err, ERR_CONFIG, "'%.60s' is none of its values", text);
}

static enum err parse_bool(const char *text, uint64_t *out, struct error *err)
{
    if (strcmp(text, "true") && strcmp(text, "false"))
        return error_set(err, ERR_CONFIG, "'%.60s' is not a truth value", text);
    *out = text[0] == 't';
    return ERR_OK;
}

static enum err parse_number(const struct option_row *row, const char *text, uint64_t *out,
                             struct error *err)
{
    switch (row->type) {
    case OPTION_TYPE_BOOL:
        return parse_bool(text, out, err);
    case OPTION_TYPE_COUNT:
        return units_parse_count(text, out, err);
    case OPTION_TYPE_SIZE:
        return units_parse_size(text, out, err);
    case OPTION_TYPE_DURATION:
        return units_parse_duration(text, out, err);
    case OPTION_TYPE_CHOICE:
        return parse_choice(row, text, out, err);
    case OPTION_TYPE_SECTION:
    case OPTION_TYPE_TEXT:
    case OPTION_TYPE_PATH:
    case OPTION_TYPE_ADDRESS:
    case OPTION_TYPE_MULTIADDR:
    case OPTION_TYPE_SECRET_FILE:
        break;
    }
    assert(!"a row of kind VALUE has a type of numbers");
    return ERR_CONFIG;
}

static enum err set_value(const struct option_target *t, const struct option_row *row,
                          const char *text, struct error *err)
{
    uint64_t value = 0;
    enum err rc = parse_number(row, text, &value, err);
    if (rc)
        return rc;
    if (value < row->min || value > row->max)
        return error_set(err, ERR_CONFIG, "%.60s is too %s", text,
                         value < row->min ? "small" : "large");
    if (row->type == OPTION_TYPE_BOOL)
        *(option_bool_t *)field_of(t, row) = value != 0;
    else
        *(option_number_t *)field_of(t, row) = value;
    return ERR_OK;
}

/* IP:PORT, [IPv6]:PORT or localhost:PORT; names would need a resolver before the loop runs. */
static bool address_is_valid(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    if (!colon || units_parse_count(colon + 1, &port, NULL) || port > UINT16_MAX)
        return false;
    char host[INET6_ADDRSTRLEN + 2];
    size_t size = (size_t)(colon - text);
    if (size == 0 || size >= sizeof(host))
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    uint8_t ip[16];
    if (host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, ip) == 1;
    }
    return inet_pton(AF_INET, host, ip) == 1 || !strcmp(host, "localhost");
}

static enum err check_text(const struct option_row *row, const char *text, struct error *err)
{
    for (const char *c = text; *c; c++)
        if (iscntrl((unsigned char)*c))
            return error_set(err, ERR_CONFIG, "it has a control character");
    bool path = row->type == OPTION_TYPE_PATH || row->type == OPTION_TYPE_SECRET_FILE;
    if (path && strlen(text) >= LIMIT_PATH_BYTES)
        return error_set(err, ERR_CONFIG, "a path is at most %d bytes long", LIMIT_PATH_BYTES - 1);
    if (!text[0])
        return row->kind == OPTION_KIND_LIST ? error_set(err, ERR_CONFIG, "an entry is empty")
                                             : ERR_OK;
    if (row->type == OPTION_TYPE_ADDRESS && !address_is_valid(text))
        return error_set(err, ERR_CONFIG, "'%.60s' is not an address with a port", text);
    if (row->type == OPTION_TYPE_MULTIADDR && text[0] != '/')
        return error_set(err, ERR_CONFIG, "'%.60s' is not a multiaddr", text);
    /* Somebody who pastes the secret itself must not find it in a log: the text is not repeated. */
    if (row->type == OPTION_TYPE_SECRET_FILE && !strchr(text, '/'))
        return error_set(err, ERR_CONFIG, "it is not the path of a file");
    return ERR_OK;
}

static enum err append_entry(const struct option_target *t, const struct option_row *row,
                             const char *text, struct error *err)
{
    struct option_list *list = field_of(t, row);
    struct option_texts *texts = t->texts;
    if (list->count == row->entries_max)
        return error_set(err, ERR_CONFIG, "it has more than %u entries", row->entries_max);
    if (!list->items) { /* room for all entries at once: the next texts come behind it */
        size_t at = (texts->used + 7) & ~(size_t)7, end = at + row->entries_max * sizeof(char *);
        if (!LIMIT_CHECK(CONFIG_TEXT_BYTES, end))
            return error_set(err, ERR_CONFIG, "the texts of the configuration exceed %d bytes",
                             LIMIT_CONFIG_TEXT_BYTES);
        list->items = (const char *const *)(texts->bytes + at);
        texts->used = end;
    }
    const char *kept = option_keep(t, text, err);
    if (!kept)
        return ERR_CONFIG;
    ((const char **)list->items)[list->count++] = kept;
    return ERR_OK;
}

static enum err set_text(const struct option_target *t, const struct option_row *row,
                         const char *text, struct error *err)
{
    const char *kept = option_keep(t, text, err);
    if (!kept)
        return ERR_CONFIG;
    *(const char **)field_of(t, row) = kept;
    return ERR_OK;
}

enum err option_set(const struct option_target *t, const struct option_row *row, const char *text,
                    struct error *err)
{
    struct error why = { ERR_OK, "" };
    enum err rc = ERR_OK;
    if (row->kind == OPTION_KIND_VALUE)
        rc = set_value(t, row, text, &why);
    else if ((rc = check_text(row, text, &why)) == ERR_OK)
        rc = row->kind == OPTION_KIND_LIST ? append_entry(t, row, text, &why)
                                           : set_text(t, row, text, &why);
    if (rc) {
        char allowed[160];
        option_allowed(row, allowed, sizeof(allowed));
        return error_set(err, ERR_CONFIG, "%s; allowed: %s", why.text, allowed);
    }
    return ERR_OK;
}

bool option_equal(const struct option_row *row, const void *a, const void *b)
{
    const void *fa = (const uint8_t *)a + row->offset, *fb = (const uint8_t *)b + row->offset;
    if (row->kind == OPTION_KIND_SECTION)
        return true;
    if (row->kind == OPTION_KIND_TEXT)
        return !strcmp(*(const char *const *)fa, *(const char *const *)fb);
    if (row->kind == OPTION_KIND_VALUE)
        return row->type == OPTION_TYPE_BOOL
                   ? *(const option_bool_t *)fa == *(const option_bool_t *)fb
                   : *(const option_number_t *)fa == *(const option_number_t *)fb;
    const struct option_list *la = fa, *lb = fb;
    for (uint32_t i = 0; i < MIN(la->count, lb->count); i++)
        if (strcmp(la->items[i], lb->items[i]))
            return false;
    return la->count == lb->count;
}

void option_share(const struct option_target *to, const struct option_row *row, const void *from)
{
    const void *field = (const uint8_t *)from + row->offset;
    switch (row->kind) {
    case OPTION_KIND_SECTION:
        return;
    case OPTION_KIND_VALUE:
        if (row->type == OPTION_TYPE_BOOL)
            *(option_bool_t *)field_of(to, row) = *(const option_bool_t *)field;
        else
            *(option_number_t *)field_of(to, row) = *(const option_number_t *)field;
        return;
    case OPTION_KIND_TEXT:
        *(const char **)field_of(to, row) = *(const char *const *)field;
        return;
    case OPTION_KIND_LIST:
        *(struct option_list *)field_of(to, row) = *(const struct option_list *)field;
        return;
    }
}

const struct option_row *option_section(const struct option_target *t, const struct option_row *row)
{
    while (row >= t->rows && row->kind != OPTION_KIND_SECTION)
        row--;
    return row >= t->rows ? row : NULL;
}

bool option_switch_on(const struct option_row *row, const void *field)
{
    switch (row->kind) {
    case OPTION_KIND_SECTION:
        break;
    case OPTION_KIND_VALUE:
        assert(row->type == OPTION_TYPE_BOOL);
        return *(const option_bool_t *)field;
    case OPTION_KIND_TEXT:
        return (*(const char *const *)field)[0] != '\0';
    case OPTION_KIND_LIST:
        return ((const struct option_list *)field)->count > 0;
    }
    assert(!"a section is no switch");
    return false;
}

bool option_has_effect(const struct option_target *t, const struct option_row *row)
{
    const struct option_row *section = option_section(t, row);
    if (!section || section->enabled_by == OPTION_ALWAYS || row == &t->rows[section->enabled_by])
        return true;
    const struct option_row *enabled_by = &t->rows[section->enabled_by];
    return option_switch_on(enabled_by, field_of(t, enabled_by));
}

/* Kept free for what option_report_end says. */
enum { REPORT_END_BYTES = 40 };

void option_report_begin(struct option_report *report)
{
    report->errors = report->lost = 0;
    report->used = 0;
    report->text[0] = '\0';
}

void option_report_add(struct option_report *report, const char *fmt, ...)
{
    report->errors++;
    size_t left = sizeof(report->text) - REPORT_END_BYTES - report->used;
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(report->text + report->used, left, fmt, args);
    va_end(args);
    if (report->lost == 0 && size >= 0 && (size_t)size + 1 < left) {
        report->used += (size_t)size;
        report->text[report->used++] = '\n';
    } else {
        report->lost++;
    }
    report->text[report->used] = '\0'; /* a line that does not fit is taken back */
}

void option_report_end(struct option_report *report)
{
    if (report->lost > 0)
        report->used += (size_t)snprintf(report->text + report->used, REPORT_END_BYTES,
                                         "and %u more\n", report->lost);
}
