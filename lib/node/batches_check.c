#include "node/batches_check.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "core/config.h"
#include "node/plan.h"
#include "store/batches.h"

static enum err feed_all(struct batches_loader *l, FILE *f, struct error *err)
{
    uint8_t piece[4096];
    enum err rc = ERR_OK;
    size_t size;
    while (!rc && (size = fread(piece, 1, sizeof(piece), f)) > 0)
        rc = batches_loader_feed(l, bytes_of(piece, size), err);
    if (!rc && ferror(f))
        rc = error_errno(err, ERR_CONFIG, errno, "reading");
    return rc;
}

static enum err check_file(struct mem_owner *mem, FILE *f, uint32_t *count, struct error *err)
{
    struct batches_loader *l = NULL;
    struct batches *table = NULL;
    enum err rc = batches_loader_create(&l, mem, LIMIT_BATCHES, err);
    rc = rc ? rc : feed_all(l, f, err);
    rc = rc ? rc : batches_loader_finish(l, &table, err);
    if (!rc)
        *count = batches_count(table);
    batches_destroy(table);
    batches_loader_destroy(l);
    return rc;
}

void batches_check(const struct config *c, uint32_t *count, struct option_report *report)
{
    static const struct mem_row row = { "batches", "refused", MEM_ELASTIC, 1 * MiB, 90, 90, true };
    struct mem_plan *plan = NULL;
    *count = 0;
    if (!c->swarm || !c->batches[0])
        return;
    struct stat st;
    FILE *f = stat(c->batches, &st) || !S_ISREG(st.st_mode) ? NULL : fopen(c->batches, "re");
    if (!f)
        return; /* plan_values_check has said so */
    struct error err = { ERR_OK, "" };
    enum err rc = mem_plan_create(&plan, 1 * GiB, &row, 1, &err);
    rc = rc ? rc : check_file(mem_plan_find(plan, row.name), f, count, &err);
    mem_plan_destroy(plan);
    fclose(f);
    if (rc) {
        error_wrap(&err, ERR_CONFIG, "%s", c->batches);
        plan_value_wrong(c, OPTION_ID_batches, &err, report);
    }
}
