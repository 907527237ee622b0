#include "node/plan.h"

#include <errno.h>
#include <sys/resource.h>

uint32_t plan_memory_rows(const struct config *c, struct mem_row rows[PLAN_OWNERS_MAX])
{
#define OWNER(name_, kind_, floor_, share_, ceiling_, subsystem_, at_limit_)                       \
    { .name = #name_,                                                                              \
      .at_limit = at_limit_,                                                                       \
      .kind = MEM_##kind_,                                                                         \
      .floor_bytes = floor_,                                                                       \
      .share_percent = share_,                                                                     \
      .ceiling_percent = ceiling_,                                                                 \
      .enabled = config_section_on(c, OPTION_ID_SECTION_##subsystem_) },
    const struct mem_row all[] = {
#include "tables/owners.def"
    };
#undef OWNER
    static_assert(ARRAY_SIZE(all) <= PLAN_OWNERS_MAX, "more owners than their limit");
    for (uint32_t i = 0; i < ARRAY_SIZE(all); i++)
        rows[i] = all[i];
    return ARRAY_SIZE(all);
}

bool plan_descriptors_row(const struct config *c, uint32_t i, struct plan_descriptors_row *out)
{
#define DESCRIPTORS(name_, section_, count_, sentence_)                                            \
    { #name_, sentence_,                                                                           \
      config_section_on(c, OPTION_ID_SECTION_##section_) ? (uint64_t)(count_) : 0 },
    const struct plan_descriptors_row all[] = {
#include "tables/descriptors.def"
    };
#undef DESCRIPTORS
    if (i >= ARRAY_SIZE(all))
        return false;
    *out = all[i];
    return true;
}

uint64_t plan_descriptors_needed(const struct config *c)
{
    struct plan_descriptors_row row;
    uint64_t sum = 0;
    for (uint32_t i = 0; plan_descriptors_row(c, i, &row); i++)
        sum += row.count;
    return sum;
}

enum err plan_descriptors_check(uint64_t needed, struct error *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return error_errno(err, ERR_SYSTEM, errno, "limit of file descriptors");
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed)
        return error_set(err, ERR_SYSTEM,
                         "%" PRIu64 " file descriptors are needed and the system allows %" PRIu64
                         "; raise the hard limit (LimitNOFILE of the service, ulimit -Hn)",
                         needed, (uint64_t)limit.rlim_max);
    return ERR_OK;
}

enum err plan_descriptors_raise(uint64_t needed, struct error *err)
{
    enum err rc = plan_descriptors_check(needed, err);
    struct rlimit limit;
    if (rc)
        return rc;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
        (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= needed))
        return ERR_OK;
    limit.rlim_cur = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return error_errno(err, ERR_SYSTEM, errno, "raising the limit of file descriptors");
    return ERR_OK;
}
