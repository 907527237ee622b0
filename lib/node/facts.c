#include "node/facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "core/log.h"

#define FILE_NAME "node.json"

struct fact {
    const char *key;
    char json[LIMIT_NODE_FACT_BYTES];
};

struct facts {
    struct mem_owner *mem;     /* borrowed */
    struct work_pool *pool;    /* borrowed */
    const struct datadir *dir; /* borrowed */
    uint32_t count;
    bool published; /* the file shall be there */
    bool again;     /* something was set while the file was being written */
    facts_idle *idle;
    void *idle_ctx;
    struct work work;
    size_t text_size;
    struct fact facts[LIMIT_NODE_FACTS];
    char text[(LIMIT_NODE_FACT_BYTES + 64) * (size_t)LIMIT_NODE_FACTS]; /* being written */
};

/* Appends; what does not fit is cut, and the caller sees the length reach the end. */
static void append(char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void append(char *out, size_t size, const char *fmt, ...)
{
    size_t used = strlen(out);
    va_list args;
    va_start(args, fmt);
    vsnprintf(out + used, size - used, fmt, args);
    va_end(args);
}

static void append_quoted(char *out, size_t size, const char *text)
{
    append(out, size, "\"");
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            append(out, size, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            append(out, size, "\\u%04x", *c);
        else
            append(out, size, "%c", *c);
    }
    append(out, size, "\"");
}

static enum err run_write(struct work *w, struct error *err)
{
    struct facts *f = container_of(w, struct facts, work);
    return datadir_write_file(f->dir, FILE_NAME, f->text, f->text_size, err);
}

static void write_done(struct work *w, const struct error *err);

static void write_now(struct facts *f)
{
    if (work_pending(&f->work)) {
        f->again = true;
        return;
    }
    f->text[0] = '\0';
    append(f->text, sizeof(f->text), "{\n  \"pid\": %d,\n  \"version\": \"%s\"", getpid(),
           LARDER_VERSION);
    for (uint32_t i = 0; i < f->count; i++)
        append(f->text, sizeof(f->text), ",\n  \"%s\": %s", f->facts[i].key, f->facts[i].json);
    append(f->text, sizeof(f->text), "\n}\n");
    f->text_size = strlen(f->text);
    work_submit(f->pool, &f->work, WORK_READ, run_write, write_done);
}

static void write_done(struct work *w, const struct error *err)
{
    struct facts *f = container_of(w, struct facts, work);
    if (err)
        log_error("%s", err->text);
    if (f->again) {
        f->again = false;
        write_now(f);
    } else if (f->idle) {
        facts_idle *idle = f->idle;
        f->idle = NULL;
        idle(f->idle_ctx);
    }
}

enum err facts_create(struct facts **out, struct mem_owner *mem, struct work_pool *pool,
                      const struct datadir *dir, struct error *err)
{
    struct facts *f = mem_try_zalloc(mem, sizeof(*f));
    if (!f)
        return mem_refused(mem, sizeof(*f), err);
    f->mem = mem;
    f->pool = pool;
    f->dir = dir;
    *out = f;
    return ERR_OK;
}

void facts_destroy(struct facts *f)
{
    if (!f)
        return;
    assert(!work_pending(&f->work));
    if (f->published)
        unlinkat(f->dir->fd, FILE_NAME, 0);
    mem_free(f->mem, f);
}

static enum err set(struct facts *f, const char *key, const char *json, struct error *err)
{
    if (strlen(json) + 1 >= LIMIT_NODE_FACT_BYTES) /* it may have been cut there */
        return error_set(err, ERR_LIMIT, "the fact %s is longer than %d bytes", key,
                         LIMIT_NODE_FACT_BYTES - 2);
    uint32_t i = 0;
    while (i < f->count && strcmp(f->facts[i].key, key))
        i++;
    assert(i < LIMIT_NODE_FACTS); /* keys are literals: their number is known when we build */
    f->count = MAX(f->count, i + 1);
    f->facts[i].key = key;
    snprintf(f->facts[i].json, sizeof(f->facts[i].json), "%s", json);
    if (f->published)
        write_now(f);
    return ERR_OK;
}

enum err facts_set_text(struct facts *f, const char *key, const char *text, struct error *err)
{
    char json[LIMIT_NODE_FACT_BYTES] = "";
    append_quoted(json, sizeof(json), text);
    return set(f, key, json, err);
}

enum err facts_set_texts(struct facts *f, const char *key, const char *const *texts, size_t count,
                         struct error *err)
{
    char json[LIMIT_NODE_FACT_BYTES] = "[";
    for (size_t i = 0; i < count; i++) {
        append(json, sizeof(json), "%s", i ? ", " : "");
        append_quoted(json, sizeof(json), texts[i]);
    }
    append(json, sizeof(json), "]");
    return set(f, key, json, err);
}

enum err facts_set_number(struct facts *f, const char *key, uint64_t value, struct error *err)
{
    char json[24];
    snprintf(json, sizeof(json), "%" PRIu64, value);
    return set(f, key, json, err);
}

void facts_publish(struct facts *f)
{
    f->published = true;
    write_now(f);
}

bool facts_wait(struct facts *f, facts_idle *idle, void *ctx)
{
    if (!work_pending(&f->work))
        return false;
    assert(!f->idle);
    f->idle = idle;
    f->idle_ctx = ctx;
    return true;
}
