/* A status document of any content makes a page or an error. */
#include <stdio.h>

#include "base/mem.h"
#include "node/status_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mem_row row = { "status", "refused", MEM_ELASTIC, 1 * MiB, 50, 50, true };
    static FILE *nowhere;
    struct mem_plan *plan;
    struct status_page *page = NULL;
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    if (!nowhere || mem_plan_create(&plan, 64 * MiB, &row, 1, NULL))
        return 0;
    if (status_page_parse(&page, plan->owners, bytes_of(data, size), NULL) == ERR_OK)
        status_page_print(page, nowhere, size % 2);
    status_page_destroy(page);
    mem_plan_destroy(plan);
    return 0;
}
