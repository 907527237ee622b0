/* The JSON reader: the same bytes in one piece and in pieces end the same way. */
#include "base/mem.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err count(void *ctx, const struct json_event *ev, struct error *err)
{
    uint64_t *sum = ctx, number;
    *sum = *sum * 31 + ev->kind + ev->depth + ev->flag;
    for (size_t i = 0; i < ev->text.size; i++)
        *sum = *sum * 31 + ev->text.data[i];
    if (ev->kind == JSON_NUMBER)
        err_ignore(json_number_uint(ev->text, &number, err));
    return ERR_OK;
}

static enum err run(struct mem_owner *owner, struct bytes b, size_t piece, uint64_t *sum)
{
    enum err rc = ERR_OK;
    struct json_reader *r =
        json_reader_create(owner, &(struct json_reader_options){ count, sum, 4096 });
    for (size_t i = 0; i < b.size && rc == ERR_OK; i += piece)
        rc = json_reader_feed(r, bytes_of(b.data + i, MIN(piece, b.size - i)), NULL);
    rc = json_reader_finish(r, NULL);
    json_reader_destroy(r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mem_row row = { "json", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct mem_plan *plan;
    if (mem_plan_create(&plan, 256 * MiB, &row, 1, NULL))
        return 0;
    struct mem_owner *owner = mem_plan_find(plan, "json");
    uint64_t whole = 0, pieces = 0;
    enum err a = run(owner, bytes_of(data, size), MAX(size, 1), &whole);
    enum err b = run(owner, bytes_of(data, size), 1 + size % 7, &pieces);
    assert(a == b);
    assert(a != ERR_OK || whole == pieces);
    mem_plan_destroy(plan);
    return 0;
}
