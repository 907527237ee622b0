#include "node/status_page.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/units.h"
#include "codec/json.h"

/* A document of scalars: "memory.owners.0.name" -> "node". */
struct value {
    const char *path, *text;
};

struct status_page {
    struct mem_owner *owner;
    struct value values[LIMIT_STATUS_VALUES];
    uint32_t count;
    size_t used;
    char texts[4 * LIMIT_STATUS_BYTES]; /* a path before each value */
    /* While it is read. */
    char path[LIMIT_STATUS_PATH_BYTES];
    struct level {
        size_t path_size; /* of what is around */
        bool array;
        uint32_t position;
    } levels[LIMIT_JSON_DEPTH + 1];
    bool colours; /* while it is printed */
};

enum { COLUMNS = 76, BAR_COLUMNS = COLUMNS - 4, COLUMNS_MAX = 16 };

/* ---- reading ---- */

static enum err keep(struct status_page *p, struct bytes text, const char **out, struct error *err)
{
    if (text.size >= sizeof(p->texts) - p->used)
        return error_set(err, ERR_TOO_LARGE, "the status document is too long");
    *out = p->texts + p->used;
    for (size_t i = 0; i < text.size; i++) { /* nothing in it steers the terminal */
        uint8_t c = text.data[i];
        bool c1 = c == 0xc2 && i + 1 < text.size && text.data[i + 1] < 0xa0;
        p->texts[p->used++] = c < ' ' || c == 0x7f || c1 ? '?' : (char)c;
        i += c1;
    }
    p->texts[p->used++] = '\0';
    return ERR_OK;
}

static enum err path_add(struct status_page *p, size_t base, struct bytes part, struct error *err)
{
    size_t dot = base > 0 ? 1 : 0;
    if (base + dot + part.size >= sizeof(p->path))
        return error_set(err, ERR_TOO_LARGE, "a name in the status document is too long");
    memcpy(p->path + base, ".", dot);
    memcpy(p->path + base + dot, part.data, part.size);
    p->path[base + dot + part.size] = '\0';
    return ERR_OK;
}

static enum err value_add(struct status_page *p, struct bytes text, struct error *err)
{
    if (!LIMIT_CHECK(STATUS_VALUES, p->count + 1))
        return error_set(err, ERR_TOO_LARGE, "the status document has too many values");
    struct value *v = &p->values[p->count];
    enum err rc = keep(p, bytes_of(p->path, strlen(p->path)), &v->path, err);
    if (!rc)
        rc = keep(p, text, &v->text, err);
    p->count += !rc;
    return rc;
}

/* An element of a list is named by its position. */
static enum err name_element(struct status_page *p, unsigned depth, struct error *err)
{
    struct level *around = &p->levels[depth];
    char text[16];
    if (depth == 0 || !around->array)
        return ERR_OK;
    int n = snprintf(text, sizeof(text), "%u", around->position++);
    return path_add(p, around->path_size, bytes_of(text, (size_t)n), err);
}

static enum err on_event(void *ctx, const struct json_event *ev, struct error *err)
{
    struct status_page *p = ctx;
    struct bytes text = ev->text;
    enum err rc = ERR_OK;
    switch (ev->kind) {
    case JSON_KEY:
        return path_add(p, p->levels[ev->depth].path_size, ev->text, err);
    case JSON_OBJECT_END:
    case JSON_ARRAY_END:
        return ERR_OK;
    case JSON_OBJECT_BEGIN:
    case JSON_ARRAY_BEGIN:
        rc = name_element(p, ev->depth, err);
        p->levels[ev->depth + 1] =
            (struct level){ strlen(p->path), ev->kind == JSON_ARRAY_BEGIN, 0 };
        return rc;
    case JSON_NULL:
        text = bytes_of("-", 1);
        break;
    case JSON_BOOL:
        text = ev->flag ? bytes_of("yes", 3) : bytes_of("no", 2);
        break;
    case JSON_NUMBER:
    case JSON_TEXT:
        break;
    }
    rc = name_element(p, ev->depth, err);
    return rc ? rc : value_add(p, text, err);
}

enum err status_page_parse(struct status_page **out, struct mem_owner *owner, struct bytes json,
                           struct error *err)
{
    struct status_page *p = mem_try_zalloc(owner, sizeof(*p));
    if (!p)
        return mem_refused(owner, sizeof(*p), err);
    p->owner = owner;
    struct json_reader *r =
        json_reader_create(owner, &(struct json_reader_options){ on_event, p, LIMIT_STATUS_BYTES });
    enum err rc = json_reader_feed(r, json, err);
    if (!rc)
        rc = json_reader_finish(r, err);
    json_reader_destroy(r);
    if (rc)
        status_page_destroy(p);
    else
        *out = p;
    return rc;
}

void status_page_destroy(struct status_page *p)
{
    if (p)
        mem_free(p->owner, p);
}

/* ---- values ---- */

static const char *find(const struct status_page *p, const char *path)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (!strcmp(p->values[i].path, path))
            return p->values[i].text;
    return NULL;
}

static const char *text_of(const struct status_page *p, const char *path)
{
    const char *text = find(p, path);
    return text ? text : "?";
}

static uint64_t number_of(const struct status_page *p, const char *path)
{
    uint64_t number = 0;
    const char *text = find(p, path);
    if (text)
        err_ignore(json_number_uint(bytes_of(text, strlen(text)), &number, NULL));
    return number;
}

static bool ends_in(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && !strcmp(text + a - b, end);
}

struct shown {
    char text[96];
};

/* 93784.5 -> "1 d 2 h", 0.0032 -> "3.20 ms" */
static struct shown duration_shown(double seconds)
{
    struct shown s;
    bool odd = !(seconds >= 0 && seconds < 1e12); /* no number, or none that a node has run for */
    unsigned long whole = odd ? 0 : (unsigned long)seconds;
    if (odd)
        snprintf(s.text, sizeof(s.text), "%.3g s", seconds);
    else if (seconds < 0.001)
        snprintf(s.text, sizeof(s.text), "%.0f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(s.text, sizeof(s.text), "%.2f ms", seconds * 1e3);
    else if (seconds < 60)
        snprintf(s.text, sizeof(s.text), "%.1f s", seconds);
    else if (whole < 3600)
        snprintf(s.text, sizeof(s.text), "%lu min %lu s", whole / 60, whole % 60);
    else if (whole < 86400)
        snprintf(s.text, sizeof(s.text), "%lu h %lu min", whole / 3600, whole % 3600 / 60);
    else
        snprintf(s.text, sizeof(s.text), "%lu d %lu h", whole / 86400, whole % 86400 / 3600);
    return s;
}

/* A value as its key says: bytes, seconds, or as it is. */
static struct shown value_shown(const char *key, const char *text)
{
    struct shown s;
    uint64_t bytes;
    if (ends_in(key, "_bytes") &&
        json_number_uint(bytes_of(text, strlen(text)), &bytes, NULL) == ERR_OK)
        snprintf(s.text, sizeof(s.text), "%s", units_size_about(bytes).text);
    else if (ends_in(key, "_seconds"))
        return duration_shown(strtod(text, NULL));
    else
        snprintf(s.text, sizeof(s.text), "%s", text);
    return s;
}

/* The key as words, without its unit: "free_bytes" -> "free". */
static struct shown key_shown(const char *key)
{
    struct shown s;
    snprintf(s.text, sizeof(s.text), "%s", key);
    size_t size = strlen(s.text);
    if (ends_in(s.text, "_bytes"))
        size -= strlen("_bytes");
    else if (ends_in(s.text, "_seconds"))
        size -= strlen("_seconds");
    s.text[size] = '\0';
    for (char *c = s.text; *c; c++)
        if (*c == '_')
            *c = ' ';
    return s;
}

/* ---- parts of the page ---- */

static void heading(const struct status_page *p, FILE *f, const char *name)
{
    fprintf(f, "\n%s%s%s\n", p->colours ? "\033[1m" : "", name, p->colours ? "\033[0m" : "");
}

static unsigned bar_cells(uint64_t part, uint64_t whole)
{
    if (part == 0 || whole == 0)
        return 0;
    uint64_t cells = (part * BAR_COLUMNS + whole / 2) / whole;
    return (unsigned)MAX(1, MIN(cells, BAR_COLUMNS)); /* what there is, is seen */
}

static void bar_end(FILE *f, unsigned drawn)
{
    for (; drawn < BAR_COLUMNS; drawn++)
        fputc('.', f);
    fputs("]\n", f);
}

/* Owner i of the document; false when there is none. */
static bool owner_path(const struct status_page *p, uint32_t i, const char *key,
                       char path[LIMIT_STATUS_PATH_BYTES])
{
    snprintf(path, LIMIT_STATUS_PATH_BYTES, "memory.owners.%u.%s", i, key);
    return find(p, path) != NULL;
}

/* Colours that differ on dark and on light; without them the first letter tells. */
static void bar_cell(const struct status_page *p, FILE *f, uint32_t owner, char letter)
{
    if (p->colours)
        fprintf(f, "\033[%um%c\033[0m", 31 + owner % 6, letter);
    else
        fputc(letter, f);
}

static void print_memory(const struct status_page *p, FILE *f)
{
    static const char *const levels[] = { "normal", "shrinking", "new work waits", "ending work" };
    char path[LIMIT_STATUS_PATH_BYTES];
    uint64_t setting = number_of(p, "memory.setting_bytes"), level = number_of(p, "memory.level");
    unsigned drawn = 0;
    heading(p, f, "memory");
    fprintf(f, "  %s held of %s, %s\n  [", units_size_about(number_of(p, "memory.held_bytes")).text,
            units_size_about(setting).text, levels[MIN(level, ARRAY_SIZE(levels) - 1)]);
    for (uint32_t i = 0; owner_path(p, i, "name", path); i++) {
        char letter = text_of(p, path)[0];
        owner_path(p, i, "used_bytes", path);
        unsigned cells = MIN(bar_cells(number_of(p, path), setting), BAR_COLUMNS - drawn);
        drawn += cells;
        while (cells-- > 0)
            bar_cell(p, f, i, letter);
    }
    bar_end(f, drawn);
    fprintf(f, "  %-12s %10s %10s %10s %10s %8s\n", "owner", "used", "peak", "share", "ceiling",
            "waiting");
    for (uint32_t i = 0; owner_path(p, i, "name", path); i++) {
        static const char *const keys[] = { "used_bytes", "peak_bytes", "share_bytes",
                                            "ceiling_bytes" };
        fprintf(f, "  %-12s", text_of(p, path));
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
            owner_path(p, i, keys[k], path);
            fprintf(f, " %10s", units_size_about(number_of(p, path)).text);
        }
        owner_path(p, i, "waiting", path);
        fprintf(f, " %8s\n", text_of(p, path));
    }
}

static void print_disk(const struct status_page *p, FILE *f)
{
    uint64_t size = number_of(p, "disk.size_bytes"), free_bytes = number_of(p, "disk.free_bytes");
    heading(p, f, "disk");
    if (find(p, "disk.error"))
        fprintf(f, "  %s\n", text_of(p, "disk.error"));
    fprintf(f, "  %s: %s free of %s; writes are refused below %s\n  [", text_of(p, "disk.path"),
            units_size_about(free_bytes).text, units_size_about(size).text,
            units_size_about(number_of(p, "disk.min_free_bytes")).text);
    unsigned cells = bar_cells(size - MIN(free_bytes, size), size);
    for (unsigned i = 0; i < cells; i++)
        fputc('#', f);
    bar_end(f, cells);
}

static void print_loop(const struct status_page *p, FILE *f)
{
    heading(p, f, "loop");
    fprintf(f, "  %s callbacks, %s of them slow; busy %s\n", text_of(p, "loop.callbacks"),
            text_of(p, "loop.slow"),
            duration_shown(strtod(text_of(p, "loop.busy_seconds"), NULL)).text);
    if (number_of(p, "loop.slow") > 0)
        fprintf(f, "  slowest %s (%s)\n",
                duration_shown(strtod(text_of(p, "loop.slowest_seconds"), NULL)).text,
                text_of(p, "loop.slowest"));
}

/* What is behind "section." in a path of that section; NULL: another one. */
static const char *inside(const char *path, const char *section)
{
    size_t size = strlen(section);
    return !strncmp(path, section, size) && path[size] == '.' ? path + size + 1 : NULL;
}

/* The prefix of a path up to and with the dot before its last component, or the one before that. */
static size_t prefix_size(const char *path, unsigned components)
{
    size_t size = strlen(path);
    for (; components > 0 && size > 0; components--) {
        size--;
        while (size > 0 && path[size - 1] != '.')
            size--;
    }
    return size;
}

/* The keys of all rows of a list of objects, since a row may lack some. Returns the value behind
 * the list. */
static uint32_t table_columns(const struct status_page *p, uint32_t from, const char **columns,
                              uint32_t *count)
{
    const char *first = p->values[from].path;
    size_t list_size = prefix_size(first, 2);
    uint32_t i;
    for (i = from; i < p->count && !strncmp(p->values[i].path, first, list_size); i++) {
        const char *key = strrchr(p->values[i].path, '.') + 1;
        uint32_t c = 0;
        while (c < *count && strcmp(columns[c], key) != 0)
            c++;
        if (c == *count && c < COLUMNS_MAX)
            columns[(*count)++] = key;
    }
    return i;
}

static void print_cell(FILE *f, uint32_t column, const char *text)
{
    fprintf(f, column == 0 ? "  %-12s" : " %12s", text);
}

/* A list of objects: a line of keys, then a line per object. from is its first value; returns the
 * one behind its last. */
static uint32_t print_table(const struct status_page *p, FILE *f, uint32_t from)
{
    const char *columns[COLUMNS_MAX];
    uint32_t count = 0, end = table_columns(p, from, columns, &count);
    for (uint32_t c = 0; c < count; c++)
        print_cell(f, c, key_shown(columns[c]).text);
    fputc('\n', f);
    for (uint32_t i = from; i < end;) {
        const char *path = p->values[i].path;
        size_t row_size = prefix_size(path, 1);
        uint32_t next = i;
        while (next < end && !strncmp(p->values[next].path, path, row_size))
            next++;
        for (uint32_t c = 0; c < count; c++) {
            uint32_t at = i;
            while (at < next && strcmp(p->values[at].path + row_size, columns[c]) != 0)
                at++;
            print_cell(f, c, at < next ? value_shown(columns[c], p->values[at].text).text : "-");
        }
        fputc('\n', f);
        i = next;
    }
    return end;
}

static bool is_number(const char *text, size_t size)
{
    size_t digits = strspn(text, "0123456789");
    return size > 0 && digits >= size;
}

/* Does value i begin a list of objects that have nothing but values in them? */
static bool begins_table(const struct status_page *p, uint32_t i)
{
    const char *path = p->values[i].path;
    size_t row_size = prefix_size(path, 1), list_size = prefix_size(path, 2);
    if (row_size == 0 || !is_number(path + list_size, row_size - 1 - list_size))
        return false;
    for (uint32_t k = 0; k < p->count; k++) {
        if (strncmp(p->values[k].path, path, list_size) != 0)
            continue;
        const char *inner = strchr(p->values[k].path + list_size, '.');
        if (!inner || strchr(inner + 1, '.'))
            return false;
    }
    return true;
}

/* An element of a list of texts, and not of a list of objects: the path ends in its position. */
static bool is_element(const char *path)
{
    const char *last = strrchr(path, '.') + 1;
    return last[strspn(last, "0123456789")] == '\0';
}

/* A line of its own, however long; the list's name stands before the first. */
static void print_element(FILE *f, const char *key, const char *text)
{
    const char *dot = strrchr(key, '.');
    struct shown name = { "" };
    if (!strcmp(dot, ".0"))
        snprintf(name.text, sizeof(name.text), "%.*s", (int)(dot - key), key);
    fprintf(f, "  %-20s %s\n", key_shown(name.text).text, text);
}

/* "peers.0.overlay" -> "overlay", "refused.bad_stamp" -> "refused bad stamp" */
static struct shown place_shown(const char *key)
{
    for (const char *dot = strchr(key, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t size = strcspn(dot + 1, ".");
        if (dot[1 + size] == '.' && is_number(dot + 1, size))
            key = dot + 1 + size + 1;
    }
    struct shown s = key_shown(key);
    for (char *c = s.text; *c; c++)
        if (*c == '.')
            *c = ' ';
    return s;
}

static void print_section(const struct status_page *p, FILE *f, const char *section)
{
    heading(p, f, section);
    for (uint32_t i = 0; i < p->count;) {
        const char *key = inside(p->values[i].path, section);
        if (key && begins_table(p, i)) {
            i = print_table(p, f, i);
            continue;
        }
        if (key && strchr(key, '.') && is_element(key))
            print_element(f, key, p->values[i].text);
        else if (key)
            fprintf(f, "  %-20s %s\n", place_shown(key).text,
                    value_shown(key, p->values[i].text).text);
        i++;
    }
}

static void print_head(const struct status_page *p, FILE *f)
{
    const char *state = text_of(p, "state");
    const char *colour = !strcmp(state, "ready") ? "\033[32m" : "\033[33m";
    fprintf(f, "larder %s, pid %s, up %s: %s%s%s\n", text_of(p, "version"), text_of(p, "pid"),
            duration_shown(strtod(text_of(p, "uptime_seconds"), NULL)).text,
            p->colours ? colour : "", state, p->colours ? "\033[0m" : "");
    for (uint32_t i = 0; i < p->count; i++) {
        const char *key = inside(p->values[i].path, "not_ready");
        if (key && ends_in(key, ".name"))
            fprintf(f, "  %s", p->values[i].text);
        else if (key && ends_in(key, ".state"))
            fprintf(f, " is %s", p->values[i].text);
        else if (key)
            fprintf(f, ": %s\n", p->values[i].text);
    }
}

void status_page_print(const struct status_page *page, FILE *f, bool colours)
{
    static const struct {
        const char *section;
        void (*print)(const struct status_page *p, FILE *f);
    } forms[] = { { "memory", print_memory }, { "disk", print_disk }, { "loop", print_loop } };
    struct status_page *p = (struct status_page *)page; /* colours is no part of what it says */
    char last[LIMIT_STATUS_PATH_BYTES] = "not_ready";
    p->colours = colours;
    print_head(p, f);
    for (uint32_t i = 0; i < p->count; i++) {
        const char *path = p->values[i].path;
        size_t size = strcspn(path, "."), form = 0;
        if (path[size] == '\0' || (strlen(last) == size && !strncmp(path, last, size)))
            continue;
        snprintf(last, sizeof(last), "%.*s", (int)size, path);
        if (!strcmp(last, "not_ready"))
            continue;
        while (form < ARRAY_SIZE(forms) && strcmp(forms[form].section, last) != 0)
            form++;
        if (form < ARRAY_SIZE(forms))
            forms[form].print(p, f);
        else
            print_section(p, f, last);
    }
}
