#include "store/stores_rows.h"

#include "core/config.h"

uint32_t stores_rows(const struct config *c, struct store_row rows[STORES_MAX])
{
    /* clang-format off */
#define STORE(name_, section_, version_, floor_, weight_, block_, table_, filter_, kinds_, compress_, \
              sync_, disk_, sentence_)                                                             \
    { .name = #name_,                                                                              \
      .version = version_,                                                                         \
      .memory_floor_bytes = floor_,                                                                \
      .memory_weight = weight_,                                                                    \
      .block_bytes = block_,                                                                       \
      .table_bytes = table_,                                                                       \
      .filter_bits = filter_,                                                                      \
      .filter_kinds = kinds_,                                                                      \
      .compress = compress_,                                                                       \
      .sync = STORE_SYNC_##sync_,                                                                  \
      .disk_bytes = disk_,                                                                         \
      .sentence = sentence_,                                                                       \
      .enabled = config_section_on(c, OPTION_ID_SECTION_##section_) },
    /* clang-format on */
    const struct store_row all[] = {
#include "tables/stores.def"
    };
#undef STORE
    static_assert(ARRAY_SIZE(all) <= STORES_MAX, "more stores than their limit");
    for (uint32_t i = 0; i < ARRAY_SIZE(all); i++)
        rows[i] = all[i];
    return ARRAY_SIZE(all);
}

uint64_t stores_floor_bytes(const struct config *c)
{
    struct store_row rows[STORES_MAX];
    uint64_t sum = 1 * MiB; /* what we keep of them ourselves */
    uint32_t count = stores_rows(c, rows);
    for (uint32_t i = 0; i < count; i++)
        sum += rows[i].enabled ? rows[i].memory_floor_bytes : 0;
    return sum;
}

uint64_t stores_enabled(const struct config *c)
{
    struct store_row rows[STORES_MAX];
    uint64_t enabled = 0;
    uint32_t count = stores_rows(c, rows);
    for (uint32_t i = 0; i < count; i++)
        enabled += rows[i].enabled;
    return enabled;
}
