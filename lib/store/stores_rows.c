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
