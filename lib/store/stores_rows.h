/* lib/store/stores_rows.h: the rows of stores.def as a configuration turns them on. Thread: any. */
#ifndef LARDER_STORE_STORES_ROWS_H
#define LARDER_STORE_STORES_ROWS_H

#include "store/stores.h"

struct config;

enum { STORES_MAX = 16 };
uint32_t stores_rows(const struct config *c, struct store_row rows[STORES_MAX]);
uint64_t stores_floor_bytes(const struct config *c); /* of the owner `stores` */
uint64_t stores_enabled(const struct config *c);     /* how many are on */

#endif
